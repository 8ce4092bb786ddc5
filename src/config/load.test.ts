// Loading: defaults, values and their origins, and what is said about a wrong file.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { loadConfig } from "./load.ts";
import { listSettings } from "./resolve.ts";

const gib = 1024 ** 3;
const host = { cpus: 8, memoryBytes: 16 * gib };
let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "banger-config-"));
  file = join(dir, "config.toml");
});
afterEach(() => rmSync(dir, { recursive: true }));

/** Problems of a file with this text, without the file's name. */
function problemsOf(text: string): string[] {
  writeFileSync(file, text);
  try {
    loadConfig(file, host);
  } catch (error) {
    assert.ok(error instanceof BangerError);
    assert.equal(error.code, "config.invalid");
    assert.equal(error.hint, `$EDITOR ${file}`);
    const problems = error.details?.["problems"] as string[];
    assert.equal(error.message, problems.join("\n"));
    return problems.map((problem) => {
      assert.ok(problem.startsWith(`${file}:`));
      return problem.slice(file.length + 1);
    });
  }
  return [];
}

test("no file: every setting has its default", () => {
  assert.deepEqual(
    listSettings(loadConfig(file, host)).map(({ key, value, origin, line }) => [key, value, origin, line]),
    [
      ["log_level", "info", "default", null],
      ["default_image", "debian-bookworm", "default", null],
      ["default_kernel", "debian-bookworm-cloud", "default", null],
      ["image_catalog", "", "default", null],
      ["boot_timeout_s", 60, "default", null],
      ["stop_timeout_s", 10, "default", null],
      ["git_identity", true, "default", null],
      ["file_sync", "", "default", null],
      ["vm_defaults.vcpu", 2, "host", null],
      ["vm_defaults.memory_mib", 2048, "host", null],
      ["vm_defaults.disk_size", "8G", "default", null],
      ["vm_defaults.system_overlay_size", "8G", "default", null],
      ["templates.enabled", true, "default", null],
      ["templates.images", true, "default", null],
      ["templates.max_size", "4G", "default", null],
      ["dns.port", 5354, "default", null],
      ["dns.addresses", "127.77.0.0/16", "default", null],
      ["network.default", "none", "default", null],
      ["network.resolvers", "", "default", null],
      ["network.policies", "", "default", null],
      ["images.max_size", "64G", "default", null],
      ["images.max_entries", 1_000_000, "default", null],
      ["workspace.max_export", "1G", "default", null],
    ],
  );
});

test("an empty file is no settings", () => {
  assert.deepEqual(problemsOf("\n# nothing\n"), []);
  assert.equal(loadConfig(file, host).logLevel.origin, "default");
});

test("values of the file win and know their line", () => {
  writeFileSync(
    file,
    `# mine
log_level = "debug"
default_image = "mine"
boot_timeout_s = 120

[vm_defaults]
vcpu = 3
memory_mib = 512
disk_size = "20G"
system_overlay_size = 4096
`,
  );
  const config = loadConfig(file, host);
  assert.deepEqual(config.logLevel, { value: "debug", origin: "file", line: 2 });
  assert.deepEqual(config.defaultImage, { value: "mine", origin: "file", line: 3 });
  assert.deepEqual(config.defaultKernel, { value: "debian-bookworm-cloud", origin: "default", line: null });
  assert.deepEqual(config.bootTimeoutS, { value: 120, origin: "file", line: 4 });
  assert.deepEqual(config.vmDefaults, {
    vcpus: { value: 3, origin: "file", line: 7 },
    memoryMib: { value: 512, origin: "file", line: 8 },
    diskBytes: { value: 20 * gib, origin: "file", line: 9 },
    overlayBytes: { value: 4 * gib, origin: "file", line: 10 },
  });
});

test("a listed size can be written into the file and means the same", () => {
  for (const size of ["64M", "1500M", "8G", "1T", "1.5G", "66000.5M", "65537K"]) {
    writeFileSync(file, `[vm_defaults]\ndisk_size = "${size}"\n`);
    const config = loadConfig(file, host);
    const shown = listSettings(config).find((setting) => setting.key === "vm_defaults.disk_size");
    writeFileSync(file, `[vm_defaults]\ndisk_size = "${shown?.value}"\n`);
    assert.deepEqual(loadConfig(file, host).vmDefaults.diskBytes, config.vmDefaults.diskBytes, size);
  }
});

test("templates can be switched off and bounded", () => {
  writeFileSync(file, '[templates]\nenabled = false\nimages = false\nmax_size = "512M"\n');
  assert.deepEqual(loadConfig(file, host).templates, {
    enabled: { value: false, origin: "file", line: 2 },
    images: { value: false, origin: "file", line: 3 },
    maxBytes: { value: gib / 2, origin: "file", line: 4 },
  });
  assert.deepEqual(problemsOf("[templates]\nenabled = 1\nmax_size = 0\n"), [
    "2: [templates] enabled: expected true or false, got 1",
    "3: [templates] max_size: expected a size such as 512M or 4G (1M to 16T), got 0",
  ]);
});

test("the size of the host decides between floor and cap", () => {
  const of = (cpus: number, memoryGib: number) => {
    const { vcpus, memoryMib } = loadConfig(file, { cpus, memoryBytes: memoryGib * gib }).vmDefaults;
    return [vcpus.value, vcpus.origin, memoryMib.value, memoryMib.origin];
  };
  assert.deepEqual(of(1, 1), [1, "host", 1024, "default"]);
  assert.deepEqual(of(2, 4), [2, "default", 1024, "default"]);
  assert.deepEqual(of(12, 24), [3, "host", 3072, "host"]);
  assert.deepEqual(of(64, 512), [4, "host", 8192, "host"]);
});

test("all problems are told at once, in the order of the file", () => {
  assert.deepEqual(
    problemsOf(`log_level = "loud"
default_imagee = "x"
boot_timeout_s = 0
stop_timeout_s = 1.5
default_kernel = ""

[vm_defaults]
vcpu = "2"
memory_mib = "lots"
disk_size = "8Q"
system_overlay_size = true
colour = [
  1,
]
`),
    [
      '1: log_level: expected one of "debug", "info", "warn", "error", got "loud"',
      "2: default_imagee: unknown key, expected one of log_level, default_image, default_kernel, image_catalog, boot_timeout_s, stop_timeout_s, git_identity, file_sync, vm_defaults, templates, dns, network, images, workspace",
      "3: boot_timeout_s: expected a whole number of seconds (1 to 3600), got 0",
      "4: stop_timeout_s: expected a whole number of seconds (0 to 3600), got 1.5",
      '5: default_kernel: expected the name of a kernel, got ""',
      '8: [vm_defaults] vcpu: expected a whole number of CPUs (1 to 64), got "2"',
      '9: [vm_defaults] memory_mib: expected a whole number of MiB (128 to 1048576), got "lots"',
      '10: [vm_defaults] disk_size: expected a size such as 512M or 4G (64M to 16T), got "8Q"',
      "11: [vm_defaults] system_overlay_size: expected a size such as 512M or 4G (64M to 16T), got true",
      "12: [vm_defaults] colour: unknown key, expected one of vcpu, memory_mib, disk_size, system_overlay_size",
    ],
  );
});

test("an unknown table, and a table that is none, have their line too", () => {
  assert.match(problemsOf("\n[networks]\nname = 1\n").join(), /^2: networks: unknown key/);
  assert.deepEqual(problemsOf("\nvm_defaults = 3\n"), ["2: vm_defaults: expected a table, got 3"]);
});

test("policies of networks: what is wrong with one has its line and its table", () => {
  const text = `[network.policies.ci]
mode = "shut"
allow = "x"
allow_host = [0]
allows = []
`;
  assert.deepEqual(problemsOf(text), [
    '2: [network.policies.ci] mode: expected one of "none", "open", "balanced", "locked", got "shut"',
    '3: [network.policies.ci] allow: expected a list of rules such as api.example.com:443, got "x"',
    "4: [network.policies.ci.allow_host] 0: expected a port (1 to 65535), got 0",
    "5: [network.policies.ci] allows: unknown key, expected one of mode, allow, deny, allow_host",
  ]);
  writeFileSync(file, `[network.policies.ci]\nmode = "locked"\nallow_host = [5432]\n`);
  const { value } = loadConfig(file, host).network.policies;
  assert.deepEqual([...value], [["ci", { mode: "locked", allow: [], deny: [], hostPorts: [5432] }]]);
});

test("sizes outside of the range are refused", () => {
  const [small, large] = problemsOf('[vm_defaults]\ndisk_size = "1M"\nsystem_overlay_size = "17T"\n');
  assert.match(small ?? "", /^2: .*64M to 16T.*"1M"$/);
  assert.match(large ?? "", /^3: .*"17T"$/);
});

test("a syntax error has its line", () => {
  const [problem, ...more] = problemsOf('log_level = "info"\nvcpu = = 2\n');
  assert.match(problem ?? "", /^2: not valid TOML: \S/);
  assert.deepEqual(more, []);
});

test("a file that cannot be read is an error that says why", () => {
  assert.throws(() => loadConfig(dir, host), { code: "config.unreadable", hint: `ls -l ${dir}` });
  writeFileSync(file, Buffer.from([0x61, 0xff, 0x0a]));
  assert.throws(() => loadConfig(file, host), { code: "config.unreadable" });
  writeFileSync(file, "#".repeat(65 * 1024));
  assert.throws(() => loadConfig(file, host), { code: "config.unreadable", message: /larger than 65536 bytes/ });
});

test("file_sync: what is to be copied, with the mode as a number", () => {
  writeFileSync(
    file,
    `git_identity = false
[[file_sync]]
host = "~/.npmrc"
guest = "~/.npmrc"

[[file_sync]]
host = "/home/me/tool/"
guest = "/root/.config/tool"
mode = "640"
`,
  );
  const config = loadConfig(file, host);
  assert.equal(config.gitIdentity.value, false);
  assert.deepEqual(config.fileSync, {
    value: [
      { host: "~/.npmrc", guest: "~/.npmrc", mode: 0o600 },
      { host: "/home/me/tool/", guest: "/root/.config/tool", mode: 0o640 },
    ],
    origin: "file",
    line: 2,
  });
  assert.equal(
    listSettings(config).find(({ key }) => key === "file_sync")?.value,
    "~/.npmrc -> ~/.npmrc, /home/me/tool/ -> /root/.config/tool",
  );
});

test("file_sync: a wrong entry is named by its index, with its line", () => {
  const good = { host: '"~/x"', guest: '"~/x"', mode: '"0600"' };
  const problem = (change: Partial<typeof good>) => {
    const { host: from, guest, mode } = { ...good, ...change };
    const tables = `[[file_sync]]\nhost = "~/a"\nguest = "~/a"\n[[file_sync]]\nhost = ${from}\nguest = ${guest}\nmode = ${mode}\n`;
    return problemsOf(tables).join("\n");
  };
  assert.equal(problem({}), "");
  const hosts = [
    '""',
    '"x"',
    '"./x"',
    '"../x"',
    '"~"',
    '"~/"',
    '"/"',
    '"~me/x"',
    '"~/a/../b"',
    '"/a/.."',
    '"~/a\\u0000"',
    "7",
  ];
  for (const from of hosts) {
    assert.match(
      problem({ host: from }),
      /^5: file_sync\[1\]\.host: expected an absolute path or one that begins with "~\//,
      from,
    );
  }
  const guests = [
    '""',
    '"x"',
    '"/etc/x"',
    '"/root"',
    '"/root/"',
    '"/rooty/x"',
    '"~"',
    '"~/."',
    '"~me/x"',
    '"~/../x"',
    '"/root/a/../../b"',
  ];
  for (const guest of guests) {
    assert.match(
      problem({ guest }),
      /^6: file_sync\[1\]\.guest: expected a path that begins with "~\/" or "\/root\//,
      guest,
    );
  }
  for (const mode of ['""', '"rw"', '"0888"', '"4755"', '"60"', "0o600", "600"]) {
    assert.match(
      problem({ mode }),
      /^7: file_sync\[1\]\.mode: expected an octal mode in quotes such as "0600", got /,
      mode,
    );
  }
  assert.match(
    problemsOf('[[file_sync]]\nhost = "~/a"\nguest = "~/a"\nowner = "me"\n').join(),
    /^4: file_sync\[0\]\.owner: unknown key, expected one of host, guest, mode$/,
  );
  assert.match(problemsOf('[[file_sync]]\nhost = "~/a"\n').join(), /^1: file_sync\[0\]\.guest: it has to be given$/);
  assert.match(
    problemsOf('\nfile_sync = "~/a"\n').join(),
    /^2: file_sync: expected tables: \[\[file_sync\]\], got "~\/a"$/,
  );
});

// Every key of config.toml: its type, what a wrong value is told, and what stands when it is not set.
import * as v from "valibot";
import { parseLoopbackNetwork } from "../lib/loopback-network.ts";
import { fileSyncTables } from "./file-sync.ts";
import { parseSize } from "../lib/units.ts";

const gib = 1024 ** 3;

/** A size as people write it, read as bytes. */
function size(minBytes: number, maxBytes: number, range: string) {
  const expected = `a size such as 512M or 4G (${range})`;
  return v.pipe(
    v.union([v.string(), v.pipe(v.number(), v.integer())], expected),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      let bytes = Number.NaN;
      try {
        bytes = parseSize(String(dataset.value), "size");
      } catch {
        // Answered below, with what is expected of this key.
      }
      if (bytes >= minBytes && bytes <= maxBytes) return bytes;
      addIssue({ message: expected });
      return NEVER;
    }),
  );
}

function whole(min: number, max: number, what: string) {
  const expected = `${what} (${min} to ${max})`;
  return v.pipe(v.number(expected), v.integer(expected), v.minValue(min, expected), v.maxValue(max, expected));
}

const addressesExpected = "a network of 127.0.0.0/8 with 8 to 30 bits, such as 127.77.0.0/16";
const name = (what: string) => v.pipe(v.string(what), v.minLength(1, what), v.maxLength(256, what));
const diskSize = () => size(gib / 16, 16 * 1024 * gib, "64M to 16T");

const vmDefaults = v.strictObject({
  vcpu: v.exactOptional(v.pipe(whole(1, 64, "a whole number of CPUs"), v.description("CPUs of a VM."))),
  memory_mib: v.exactOptional(
    v.pipe(whole(128, 1024 * 1024, "a whole number of MiB"), v.description("Memory of a VM, in MiB.")),
  ),
  disk_size: v.exactOptional(
    v.pipe(diskSize(), v.description("Size of the disk on `/root`. It takes room on the host only as it fills.")),
  ),
  system_overlay_size: v.exactOptional(
    v.pipe(
      diskSize(),
      v.description("Size of the disk that holds changes to the root file system. It takes room as it fills."),
    ),
  ),
});

const templates = v.strictObject({
  enabled: v.exactOptional(
    v.pipe(
      v.boolean("true or false"),
      v.description("Start VMs from memory templates. When false, every start is a boot."),
    ),
  ),
  images: v.exactOptional(
    v.pipe(
      v.boolean("true or false"),
      v.description(
        "Also make templates of images that are started again and again: a first start of such a VM is then about a third shorter.",
      ),
    ),
  ),
  max_size: v.exactOptional(
    v.pipe(
      size(gib / 1024, 16 * 1024 * gib, "1M to 16T"),
      v.description("Room on the disk for memory templates. Those that were not used for the longest time go first."),
    ),
  ),
});

const dns = v.strictObject({
  port: v.exactOptional(
    v.pipe(
      whole(0, 65_535, "a port, or 0 for none"),
      v.description("Port of 127.0.0.1 where names below `.vm` are answered. 0: nowhere."),
    ),
  ),
  addresses: v.exactOptional(
    v.pipe(
      v.string(addressesExpected),
      v.check((text) => parseLoopbackNetwork(text) !== undefined, addressesExpected),
      v.description("Loopback addresses for VMs: each new one gets one of these, which is what its name means."),
    ),
  ),
});

const images = v.strictObject({
  max_size: v.exactOptional(
    v.pipe(
      size(gib / 1024, 256 * gib, "1M to 256G"),
      v.description(
        "Most that the files of one image may take, in all its layers together. What unpacks to more is refused as soon as it shows.",
      ),
    ),
  ),
  max_entries: v.exactOptional(
    v.pipe(
      whole(1, 2_000_000, "a whole number of entries"),
      v.description(
        "Most files, directories, links and deletions in all layers of one image together. A million take some 900 MiB of memory while the image is made.",
      ),
    ),
  ),
});

const policyNameExpected = "a name of a-z, 0-9 and -";
const resolverExpected = "an address or address:port of a name server";

function ruleList(description: string) {
  const rules = v.array(v.string("a rule such as api.example.com:443"), "a list of rules such as api.example.com:443");
  return v.pipe(rules, v.maxLength(1000), v.description(description));
}

/** What VMs may reach, under a name in config.toml, or in the `[network]` of a repository's banger.toml. */
export const networkPolicyTable = v.strictObject(
  {
    mode: v.pipe(
      v.picklist(["none", "open", "balanced", "locked"], 'one of "none", "open", "balanced", "locked"'),
      v.description("What holds where no rule says otherwise."),
    ),
    allow: v.exactOptional(ruleList("Rules that allow, as for `--allow`.")),
    deny: v.exactOptional(ruleList("Rules that deny, as for `--deny`. They win over those that allow.")),
    allow_host: v.exactOptional(
      v.pipe(
        v.array(whole(1, 65_535, "a port"), "a list of ports"),
        v.maxLength(100),
        v.description("TCP ports of the host's 127.0.0.1 that VMs reach as `host.vm`."),
      ),
    ),
  },
  "tables: [network.policies.NAME]",
);

const network = v.strictObject({
  default: v.exactOptional(
    v.pipe(name("a mode or the name of a policy"), v.description("Mode or policy of a VM for which none is named.")),
  ),
  resolvers: v.exactOptional(
    v.pipe(
      v.array(
        v.pipe(v.string(resolverExpected), v.regex(/^[0-9a-fA-F.:[\]]{2,60}$/, resolverExpected)),
        "a list of name servers, each an address or address:port",
      ),
      v.maxLength(8),
      v.description(
        "Name servers at which the names are looked up that VMs ask for. None: those of the host, as they are at the time.",
      ),
    ),
  ),
  policies: v.exactOptional(
    v.pipe(
      v.record(
        v.pipe(v.string(), v.regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, policyNameExpected)),
        networkPolicyTable,
      ),
      v.description("Policies by name, for `--network NAME`; see below."),
    ),
  ),
});

const workspace = v.strictObject({
  max_export: v.exactOptional(
    v.pipe(
      size(gib / 1024, 256 * gib, "1M to 256G"),
      v.description(
        "Most that `vm workspace export` and `diff` take of a guest, both packed and unpacked. What is larger is refused.",
      ),
    ),
  ),
});

/** The file as it is read: keys as they are written, values checked and converted. */
export const configSchema = v.strictObject({
  log_level: v.exactOptional(
    v.pipe(
      v.picklist(["debug", "info", "warn", "error"], 'one of "debug", "info", "warn", "error"'),
      v.description("How much the daemon writes to its log."),
    ),
  ),
  default_image: v.exactOptional(
    v.pipe(name("the name of an image"), v.description("Image of a VM for which none is named.")),
  ),
  default_kernel: v.exactOptional(
    v.pipe(name("the name of a kernel"), v.description("Kernel of a VM for which none is named.")),
  ),
  image_catalog: v.exactOptional(
    v.pipe(
      v.string("the absolute path of a file"),
      v.regex(/^(?:\/|$)/, "the absolute path of a file"),
      v.maxLength(4096, "the absolute path of a file"),
      v.description(
        "A JSON file with images of your own for `banger image catalog`; [images.md](images.md#the-catalog) says what is in it.",
      ),
    ),
  ),
  boot_timeout_s: v.exactOptional(
    v.pipe(
      whole(1, 3600, "a whole number of seconds"),
      v.description(
        "Seconds that a VM may take from its start until it answers. Software emulation on a busy machine is slow.",
      ),
    ),
  ),
  stop_timeout_s: v.exactOptional(
    v.pipe(
      whole(0, 3600, "a whole number of seconds"),
      v.description(
        "Seconds that a VM may take to stop cleanly before it is ended by force. What `vm run` runs gets half of them, before all else is asked to end.",
      ),
    ),
  ),
  git_identity: v.exactOptional(
    v.pipe(
      v.boolean("true or false"),
      v.description(
        "Give each VM your global `user.name` and `user.email` of git, unless its `/root/.gitconfig` has either.",
      ),
    ),
  ),
  file_sync: v.exactOptional(fileSyncTables),
  vm_defaults: v.exactOptional(vmDefaults),
  templates: v.exactOptional(templates),
  dns: v.exactOptional(dns),
  network: v.exactOptional(network),
  images: v.exactOptional(images),
  workspace: v.exactOptional(workspace),
});

export type ConfigFile = v.InferOutput<typeof configSchema>;

/** What a key holds when nothing sets it, as text for the docs. The values themselves are made in resolve.ts. */
export const defaultTexts: Readonly<Record<string, string>> = {
  log_level: '`"info"`',
  default_image: '`"debian-bookworm"`',
  default_kernel: '`"debian-bookworm-cloud"`',
  image_catalog: '`""`',
  boot_timeout_s: "`60`",
  stop_timeout_s: "`10`",
  git_identity: "`true`",
  file_sync: "none",
  "vm_defaults.vcpu": "a quarter of the host's CPUs, at most 4, at least 2 (1 when the host has 1)",
  "vm_defaults.memory_mib": "an eighth of the host's memory, at most 8192, at least 1024",
  "vm_defaults.disk_size": '`"8G"`',
  "vm_defaults.system_overlay_size": '`"8G"`',
  "templates.enabled": "`true`",
  "templates.images": "`true`",
  "templates.max_size": '`"4G"`',
  "dns.port": "`5354`",
  "dns.addresses": '`"127.77.0.0/16"`',
  "network.default": '`"none"`',
  "network.resolvers": "none",
  "network.policies": "none",
  "images.max_size": '`"64G"`',
  "images.max_entries": "`1000000`",
  "workspace.max_export": '`"1G"`',
};

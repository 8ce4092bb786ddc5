// An image in a registry on this machine to a disk that a VM can start from, against the usual tools as root (skopeo, umoci,
// mke2fs) and against fetching, checking, unpacking and writing the same bytes. Targets: notes/image-speed.md.
import { imageNames, imageStore } from "../../test/support/image-fixture.ts";
import { startRegistry } from "../../src/registry/testdata/docker-registry.ts";
import type { Cost } from "../cost.ts";
import { type Delays, ImageSides } from "../image-sides.ts";
import type { Measure, Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";

/** One round of the large image takes a minute or two. */
const maxRounds = 5;

interface Targets {
  /** Time, of that of the tools. */
  tools: number;
  /** Time, of that of the floor. */
  floor: number;
  /** Processor time, of that of the tools. */
  cpu: number;
  /** With zstd, of the tools' time with gzip. */
  zstd?: number;
}

export const imagePull: Row = {
  name: "image-pull",
  about: "an image from a registry to a disk",
  async measure(bench) {
    await using registry = await startRegistry({ store: await imageStore() });
    const sides = new ImageSides({ ...bench, host: registry.host });
    const rounds = Math.min(maxRounds, bench.rounds);
    const measure = (label: string, name: string, targets: Targets, zstd?: string) =>
      pull({ label, name, zstd, targets, rounds, sides });
    const small = await measure("small image", imageNames.small, { tools: 0.3, floor: 1.7, cpu: 0.33 });
    if (!bench.full) return small;
    const targets = { tools: 0.25, floor: 1.3, cpu: 0.33, zstd: 0.22 };
    return [...small, ...(await measure("large image", imageNames.large("gzip"), targets, imageNames.large("zstd")))];
  },
};

interface Pull {
  label: string;
  /** With gzip layers, and the same with zstd layers. */
  name: string;
  zstd: string | undefined;
  targets: Targets;
  rounds: number;
  sides: ImageSides;
}

async function pull({ label, name, zstd, targets, rounds, sides }: Pull): Promise<Measure[]> {
  const taken = await interleave(rounds, {
    banger: () => sides.banger(name),
    zstd: async () => (zstd === undefined ? undefined : await sides.banger(zstd)),
    tools: () => sides.tools(name),
    floor: () => sides.floor(name),
  });
  const of = (costs: readonly Cost[], fact: keyof Cost) => summarise(costs.map((cost) => cost[fact]));
  const packed = taken.zstd.filter((cost) => cost !== undefined);
  const against = (what: string, fact: keyof Cost, target: number, other: [string, Cost[]], ours = taken.banger) => {
    const [mine, theirs] = [of(ours, fact), of(other[1], fact)];
    const sidesOf = { "banger image pull": mine, [other[0]]: theirs };
    return {
      name: `${label}: ${what}`,
      value: mine.median / theirs.median,
      unit: "x" as const,
      target,
      sides: sidesOf,
    };
  };
  const tools: [string, Cost[]] = ["skopeo, umoci, mke2fs", taken.tools];
  const floor: [string, Cost[]] = ["curl, openssl, pigz, sync", taken.floor];
  const cpu = against("processor time against the tools", "cpuMs", targets.cpu, tools);
  const peak = of(taken.banger, "peakMb");
  const fetchedMb = await sides.fetchedMb(name);
  const written = summarise(taken.banger.map(({ writtenMb }) => writtenMb - fetchedMb));
  const content = summarise(taken.tools.map(({ contentMb }) => contentMb));
  const longest = (fact: keyof Delays) => summarise(taken.banger.map((delays) => delays[fact]));
  return [
    against("pull against the tools", "wallMs", targets.tools, tools),
    against("pull against the floor", "wallMs", targets.floor, floor),
    ...(zstd === undefined || targets.zstd === undefined
      ? []
      : [against("zstd, against the tools with gzip", "wallMs", targets.zstd, tools, packed)]),
    { ...cpu, sides: { ...cpu.sides, [floor[0]]: of(taken.floor, "cpuMs") } },
    {
      name: `${label}: peak memory of the daemon`,
      value: peak.median,
      unit: "MB",
      target: 400,
      sides: { bangerd: peak, [tools[0]]: of(taken.tools, "peakMb") },
    },
    {
      name: `${label}: written beside the cached layers, of what the files hold`,
      value: written.median / content.median,
      unit: "x",
      target: 1.25,
      sides: {
        "banger image pull": written,
        "the cached layers": summarise([fetchedMb]),
        [tools[0]]: of(taken.tools, "writtenMb"),
        "the files": content,
      },
      sideUnit: "MB",
    },
    {
      name: `${label}: longest that the daemon's event loop was blocked`,
      value: longest("blockedMs").median,
      unit: "ms",
      target: 20,
      sides: {
        "a timer of the daemon late: the loop at work, and not waiting for a processor": longest("blockedMs"),
        "a timer of the daemon late, for whatever reason": longest("delayMs"),
        "a timer of an idle Node meanwhile": longest("idleMs"),
      },
    },
  ];
}

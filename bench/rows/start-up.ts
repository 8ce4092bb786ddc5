// The start of the program against the start of its Node.
import { bareNode } from "../banger.ts";
import type { Row } from "../measure.ts";
import { interleave, summarise } from "../statistics.ts";

export const startUp: Row = {
  name: "start-up",
  about: "start of the program",
  async measure({ banger, rounds }) {
    const { version, bare } = await interleave(rounds, { version: () => banger.time("version"), bare: bareNode });
    return [
      {
        name: "banger version against node",
        value: summarise(version).median / summarise(bare).median,
        unit: "x",
        target: 1.6,
        sides: { "banger version": summarise(version), "node -e 0": summarise(bare) },
      },
    ];
  },
};

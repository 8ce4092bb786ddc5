// Random identifiers: short enough to type, long enough never to meet twice.
import { randomBytes, randomInt } from "node:crypto";

/** Twelve lower-case hex digits, for VMs. */
export function newId(): string {
  return randomBytes(6).toString("hex");
}

/** Operation id, e.g. "op-3f9a1c2b". */
export function newOperationId(): string {
  return `op-${randomBytes(4).toString("hex")}`;
}

const adjectives =
  "amber brave calm clever crisp eager early fancy fast fleet fond frank fresh gentle glad golden happy hardy honest jolly keen kind light lively lucky mellow merry mild modest neat noble plucky proud quick quiet rapid ready royal sharp shiny silent smart snappy sober solid spry steady sturdy sunny swift tidy vivid warm wise witty".split(
    " ",
  );
const nouns =
  "acorn anchor badger beacon birch brook canyon cedar comet coral crane delta dune eagle ember falcon fern finch fjord forest fox garnet glade grove harbor hawk heron island ivy jay lagoon lark lynx maple marten meadow mesa moss oak orchid osprey otter owl panda pebble pine plover quail raven reef robin sequoia sparrow spruce stone swan thistle tiger tulip willow wren".split(
    " ",
  );

/** A name such as "swift-otter": DNS-safe, easy to say. The caller checks that it is free. */
export function newName(): string {
  return `${adjectives[randomInt(adjectives.length)]}-${nouns[randomInt(nouns.length)]}`;
}

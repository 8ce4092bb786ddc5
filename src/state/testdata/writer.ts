// A process that writes pairs of rows until it is killed, for tests: either both rows of a pair are there or none.
import { openState } from "../open.ts";
import { addParts, exampleOperation, exampleVm } from "./rows.ts";

const [file = "", prefix = ""] = process.argv.slice(2);
using state = openState(file);
state.transaction(() => {
  if (state.images.get("aaaa") === undefined) addParts(state);
});
for (let n = 0; ; n++) {
  const name = `${prefix}-${n}`;
  state.transaction(() => {
    state.vms.insert(exampleVm({ id: name, name }));
    state.operations.save(exampleOperation({ id: name, target: name }));
  });
  process.stdout.write(`${n}\n`);
}

// Labels as they are written on the command line.
import { BangerError } from "../lib/errors.ts";
import { labelKey, labelKeyWords, labelValue, labelValueWords } from "../lib/label.ts";

/** "KEY=VALUE" as an entry; the value may be empty. `what` names where it stands. Throws `usage`. */
export function parseLabel(text: string, what = "label"): readonly [string, string] {
  const at = text.indexOf("=");
  if (at < 0) throw new BangerError("usage", `${what} "${text}" is not KEY=VALUE`);
  const [key, value] = [text.slice(0, at), text.slice(at + 1)];
  if (!labelKey.test(key)) throw new BangerError("usage", `${what} "${text}": a key is ${labelKeyWords}`);
  if (!labelValue.test(value)) throw new BangerError("usage", `${what} "${text}": a value is ${labelValueWords}`);
  return [key, value];
}

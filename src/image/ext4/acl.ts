// POSIX access control lists: from the form of extended attributes and from text (what star and GNU tar store) to the form
// that ext4 stores.
import { TarError } from "../tar/header.ts";

const userObject = 0x01;
const user = 0x02;
const groupObject = 0x04;
const group = 0x08;
const mask = 0x10;
const other = 0x20;
const isNamed = (tag: number) => tag === user || tag === group;

interface AclEntry {
  tag: number;
  permissions: number;
  id: number;
}

/** From the value of a system.posix_acl_* attribute. Undefined when it says no more than the mode does. */
export function aclFromXattr(value: Buffer): Buffer | undefined {
  if (value.length < 4 || value.length % 8 !== 4 || value.readUInt32LE(0) !== 2) {
    throw new TarError("its access control list has an unknown form");
  }
  const entries: AclEntry[] = [];
  for (let at = 4; at < value.length; at += 8) {
    const tag = value.readUInt16LE(at);
    const permissions = value.readUInt16LE(at + 2);
    if (![userObject, user, groupObject, group, mask, other].includes(tag) || permissions > 7) {
      throw new TarError("its access control list has an impossible entry");
    }
    entries.push({ tag, permissions, id: value.readUInt32LE(at + 4) });
  }
  return encode(entries);
}

/** From text as in "user::rwx,user:1000:r-x,mask::r-x"; undefined also when it names users by names, which say nothing here. */
export function aclFromText(text: string): Buffer | undefined {
  const entries: AclEntry[] = [];
  for (const part of text.split(/[,\n]/)) {
    const line = part.replace(/#.*/, "").trim();
    if (line === "") continue;
    const match = /^(u(?:ser)?|g(?:roup)?|m(?:ask)?|o(?:ther)?):([^:]*):([r-][w-][x-])(?::(\d+))?$/.exec(line);
    if (match === null) throw new TarError("its access control list is malformed");
    const [, kind = "", name = "", rights = "", number] = match;
    const permissions = (rights[0] === "r" ? 4 : 0) | (rights[1] === "w" ? 2 : 0) | (rights[2] === "x" ? 1 : 0);
    const id = number ?? name;
    if (kind.startsWith("m")) entries.push({ tag: mask, permissions, id: 0 });
    else if (kind.startsWith("o")) entries.push({ tag: other, permissions, id: 0 });
    else if (id === "") entries.push({ tag: kind.startsWith("u") ? userObject : groupObject, permissions, id: 0 });
    else if (!/^\d{1,10}$/.test(id)) return undefined;
    else entries.push({ tag: kind.startsWith("u") ? user : group, permissions, id: Number(id) % 2 ** 32 });
  }
  return encode(entries);
}

function encode(entries: readonly AclEntry[]): Buffer | undefined {
  const sorted = entries.toSorted((a, b) => a.tag - b.tag || (isNamed(a.tag) ? a.id - b.id : 0));
  const count = (tag: number) => sorted.filter((entry) => entry.tag === tag).length;
  const isTwice = sorted.some((entry, index) => {
    const before = sorted[index - 1];
    return before?.tag === entry.tag && (!isNamed(entry.tag) || before.id === entry.id);
  });
  const needsMask = count(user) + count(group) > 0;
  if (isTwice || count(userObject) !== 1 || count(groupObject) !== 1 || count(other) !== 1) {
    throw new TarError("its access control list is incomplete or names someone twice");
  }
  if (needsMask && count(mask) === 0) throw new TarError("its access control list has no mask");
  if (!needsMask && count(mask) === 0) return undefined;
  const parts = sorted.map(({ tag, permissions, id }) => {
    const part = Buffer.alloc(isNamed(tag) ? 8 : 4);
    part.writeUInt16LE(tag, 0);
    part.writeUInt16LE(permissions, 2);
    if (isNamed(tag)) part.writeUInt32LE(id, 4);
    return part;
  });
  return Buffer.concat([Buffer.from([1, 0, 0, 0]), ...parts]);
}

// Operands that many commands take, with the completion of their live names, and parsers of option values.
import { BangerError } from "../lib/errors.ts";
import { parseSize } from "../lib/units.ts";
import type { CliContext, NameKind } from "./context.ts";

const briefs: Record<NameKind, [placeholder: string, brief: string]> = {
  vm: ["vm", "name or id of a VM, or the beginning of either"],
  snapshot: ["snapshot", "name or id of a snapshot, or the beginning of either"],
  "vm-or-snapshot": ["vm|snapshot", "name or id of a VM or of a snapshot"],
  template: ["template", "id of a template, or its beginning"],
  image: ["image", "name or id of an image"],
  kernel: ["kernel", "name or id of a kernel"],
  "image-catalog": ["name", "name in the image catalog"],
  "kernel-catalog": ["name", "name in the kernel catalog"],
  operation: ["operation", "id of an operation"],
};

/** One operand that names a thing of the daemon. */
export function reference(kind: NameKind) {
  const [placeholder, brief] = briefs[kind];
  return {
    parse: nonEmpty(placeholder),
    placeholder,
    brief,
    proposeCompletions(this: CliContext) {
      return this.names(kind);
    },
  };
}

/** Exactly one such operand. */
export function oneReference(kind: NameKind) {
  return { kind: "tuple", parameters: [reference(kind)] } as const;
}

/** None or one. */
export function optionalReference(kind: NameKind) {
  return { kind: "tuple", parameters: [{ ...reference(kind), optional: true }] } as const;
}

/** One or more such operands. */
export function manyReferences(kind: NameKind) {
  return { kind: "array", parameter: reference(kind), minimum: 1 } as const;
}

/** An option whose value is the name of a thing of the daemon. */
export function referenceOption(kind: NameKind, brief: string) {
  return { ...reference(kind), kind: "parsed", optional: true, brief } as const;
}

/** An option with a size: "512M", "4G", "4GiB"; a bare number means MiB. The value is bytes. */
export function sizeOption(name: string, brief: string) {
  return {
    kind: "parsed",
    parse: (text: string) => parseSize(text, `--${name}`),
    optional: true,
    placeholder: "size",
    brief,
  } as const;
}

/** An option with a whole number; which ones make sense is the daemon's to say. */
export function countOption(name: string, brief: string) {
  const parse = (text: string) => {
    const count = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(count)) {
      throw new BangerError("usage", `--${name} "${text}" is not a whole number`);
    }
    return count;
  };
  return { kind: "parsed", parse, optional: true, placeholder: "count", brief } as const;
}

/** An option with the path of a directory in a VM. */
export function guestDirectoryOption(name: string, brief: string) {
  const parse = (text: string) => {
    if (text.startsWith("/")) return text;
    throw new BangerError("usage", `--${name} "${text}" is not an absolute path`);
  };
  return { kind: "parsed", parse, optional: true, placeholder: "path", brief } as const;
}

/** `--env KEY=VALUE`, several times; `KEY` alone takes the value of this process. */
export const environmentOption = {
  kind: "parsed",
  optional: true,
  variadic: true,
  placeholder: "KEY=VALUE",
  brief: "set a variable in the command's environment; KEY alone passes yours on (repeatable)",
  parse(this: CliContext, text: string): string {
    const name = text.split("=", 1)[0] ?? "";
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new BangerError("usage", `--env "${text}" is not KEY=VALUE`);
    }
    return text.includes("=") ? text : `${text}=${this.env[text] ?? ""}`;
  },
} as const;

function nonEmpty(placeholder: string) {
  return (text: string): string => {
    if (text === "") throw new BangerError("usage", `<${placeholder}> is empty`);
    return text;
  };
}

/** An operand that is a path on the host; shells complete file names there. */
export function pathOperand(placeholder: string, brief: string) {
  return {
    parse: nonEmpty(placeholder),
    placeholder,
    brief,
    proposeCompletions(this: CliContext) {
      return this.names("file");
    },
  } as const;
}

/** An operand that is a path on the host or `<vm>:<path>`. */
export function copyOperand(placeholder: string, brief: string) {
  return {
    ...pathOperand(placeholder, brief),
    async proposeCompletions(this: CliContext) {
      const [vms, files] = await Promise.all([this.names("vm"), this.names("file")]);
      return [...vms.map((name) => `${name}:`), ...files];
    },
  } as const;
}

// Writes a git configuration file.

/** Sections by name ('core', 'remote "origin"' as ["remote", "origin"]), with their settings; undefined ones are left out. */
export type ConfigSections = readonly (readonly [
  section: readonly [string, string?],
  settings: Readonly<Record<string, string | undefined>>,
])[];

export function configFile(sections: ConfigSections): string {
  return sections
    .map(([[name, subsection], settings]) => {
      const lines = Object.entries(settings).flatMap(([key, value]) =>
        value === undefined ? [] : [`\t${key} = ${quoted(value)}\n`],
      );
      if (lines.length === 0) return "";
      return `[${name}${subsection === undefined ? "" : ` ${quotedName(subsection)}`}]\n${lines.join("")}`;
    })
    .join("");
}

function quoted(value: string): string {
  const escaped = value.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\t", "\\t");
  return `"${escaped.replaceAll("\0", "").replaceAll("\r", "")}"`;
}

/** A name of a subsection holds no line break. */
function quotedName(name: string): string {
  return `"${name.replace(/[\\"]/g, "\\$&").replace(/[\n\0]/g, "")}"`;
}

// Text from guests, registries and images made safe for a terminal: what could move the cursor, change colours or
// reorder the line is shown as an escape instead. Interactive sessions are the only output that does not pass here.

// C0 and C1 controls and DEL, and the Unicode characters that reorder or hide text.
const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** Keeps newlines and tabs, shows every other control character as "\x1b" or "\u202e". */
export function printable(text: string): string {
  return text.replace(unsafe, escapeCharacter);
}

/** Like `printable`, for text that must stay on one line: newlines and tabs are shown too. */
export function printableLine(text: string): string {
  return printable(text).replace(/[\n\t]/g, (character) => (character === "\n" ? "\\n" : "\\t"));
}

/** JSON that is safe on a terminal: the controls that JSON.stringify leaves as they are become \u escapes. */
export function printableJson(value: unknown, indent = 2): string {
  return JSON.stringify(value, null, indent).replace(unsafe, (character) => unicodeEscape(character));
}

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x80 ? `\\x${code.toString(16).padStart(2, "0")}` : unicodeEscape(character);
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

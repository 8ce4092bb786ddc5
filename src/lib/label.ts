// What labels may be: the same words for the command line and the daemon.
export const labelKey = /^[a-zA-Z0-9](?:[a-zA-Z0-9._/-]{0,126}[a-zA-Z0-9])?$/;
export const labelKeyWords = "1 to 128 of letters, digits and . _ / -, a letter or digit at both ends";
export const labelValue = /^\P{Cc}{0,256}$/u;
export const labelValueWords = "at most 256 characters, no control characters";

/** Which statements may be given up half-way without losing a write. */

/** Whether a statement surely writes nothing, by its first word. When in doubt it may write. */
export function isReadOnly(text: string): boolean {
  const start = skipBlanks(text);
  return /^(?:select|values|table|show)\b/i.test(text.slice(start, start + 7));
}

/** Offset of the first character that is neither white space, nor in a comment, nor a parenthesis. */
function skipBlanks(text: string): number {
  let at = 0;
  while (at < text.length) {
    const character = text.charAt(at);
    if (character === '(' || character.trim() === '') {
      at++;
    } else if (text.startsWith('--', at)) {
      const end = text.indexOf('\n', at);
      at = end < 0 ? text.length : end + 1;
    } else if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at + 2);
      at = end < 0 ? text.length : end + 2;
    } else {
      break;
    }
  }
  return at;
}

/** Names that PostgreSQL chooses for constraints, indexes and sequences: `t_a_b_key`, cut to fit, numbered if taken. */
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { nameBytesMax } from '../limits.ts';

/** `first_second_label`, the longer of the first two cut as far as needed. */
function joined(first: string, second: string, label: string): string {
  const parts: readonly [string[], string[]] = [[...first], [...second]];
  const bytes = (characters: readonly string[]) => Buffer.byteLength(characters.join(''), 'utf8');
  const room = nameBytesMax - label.length - 1 - (second === '' ? 0 : 1);
  while (bytes(parts[0]) + bytes(parts[1]) > room) {
    const longer = bytes(parts[0]) > bytes(parts[1]) ? parts[0] : parts[1];
    longer.pop();
  }
  const middle = second === '' ? '' : `_${parts[1].join('')}`;
  return `${parts[0].join('')}${middle}_${label}`;
}

/** @param isTaken names that may not be chosen */
export function chooseName(
  first: string,
  second: string,
  label: string,
  isTaken: (name: string) => boolean,
): string {
  for (let attempt = 0; ; attempt++) {
    const name = joined(first, second, attempt === 0 ? label : `${label}${attempt}`);
    if (!isTaken(name)) return name;
  }
}

/** For indexes and sequences, which share their names with tables. */
export function chooseRelationName(
  snapshot: CatalogSnapshot,
  schema: string,
  parts: { readonly first: string; readonly second: string; readonly label: string },
  alsoTaken: readonly string[] = [],
): string {
  return chooseName(
    parts.first,
    parts.second,
    parts.label,
    (name) => snapshot.isTaken(schema, name) || alsoTaken.includes(name),
  );
}

/** The columns of an index as its name has them. */
export function indexNameColumns(names: readonly string[]): string {
  let text = '';
  for (const name of names) {
    if (text.length >= nameBytesMax) break;
    text = text === '' ? name : `${text}_${name}`;
  }
  return text;
}

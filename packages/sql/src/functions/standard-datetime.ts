/**
 * Dates and times by a template in the standard's strict way, as SQL/JSON paths read them: separators and text must stand in
 * the input as they do in the template, nothing may be left over, and the fields say which type it is. Pure.
 */
import { SqlError } from '../sql-error.ts';
import { type PatternNode, readPattern } from './datetime-pattern.ts';
import { type DateTimeValues, momentOfFields, readField } from './parse-datetime.ts';

export interface StandardDateTime {
  readonly dated: boolean;
  readonly timed: boolean;
  readonly zoned: boolean;
  /** Microseconds since 2000 as the clock shows them. */
  readonly local: bigint;
  /** Seconds east of Greenwich; 0 where not zoned. */
  readonly offset: number;
}

const separators = "-./,':; ";
const zoneFields: ReadonlySet<string> = new Set(['TZH', 'TZM', 'TZ', 'OF']);
const timeField = /^(?:HH|MI|SS|MS|US|FF|AM|PM|A\.M|P\.M)/;
const offsetHoursMax = 15;

function bad(message: string): SqlError {
  return new SqlError('22007', message);
}

/** Templates are few, and most are tried for every value. */
const knownMax = 128;
const known = new Map<string, readonly PatternNode[]>();

/** Throws 22007. */
function templateNodes(template: string): readonly PatternNode[] {
  let nodes = known.get(template);
  if (nodes !== undefined) return nodes;
  nodes = readPattern(template);
  for (const { keyword, text, quoted } of nodes)
    if (keyword === undefined && !quoted && !separators.includes(text))
      throw bad(`invalid datetime format separator: "${text}"`);
  if (known.size >= knownMax) known.clear();
  known.set(template, nodes);
  return nodes;
}

/** Throws 22007, 22008, 22009, 0A000. */
export function parseStandardDateTime(text: string, template: string): StandardDateTime {
  const nodes = templateNodes(template);
  const fields = readStrictly(text, nodes);
  const { local, offset = 0 } = momentOfFields(fields, text);
  const keywords = nodes.flatMap(({ keyword }) => keyword ?? []);
  const zoned = keywords.some((one) => zoneFields.has(one));
  const timed = keywords.some((one) => timeField.test(one));
  const dated = keywords.some((one) => !zoneFields.has(one) && !timeField.test(one));
  if (!dated && !timed) throw bad('datetime format is not dated and not timed');
  if (zoned && !timed) throw bad('datetime format is zoned but not timed');
  return { dated, timed, zoned, local, offset };
}

function readStrictly(text: string, nodes: readonly PatternNode[]): DateTimeValues {
  const fields: DateTimeValues = {};
  let at = 0;
  const more = () => {
    if (at >= text.length) throw bad('input string is too short for datetime format');
  };
  nodes.forEach((node, i) => {
    more();
    if (node.keyword === undefined) {
      for (const character of node.text) {
        more();
        if (!text.startsWith(character, at))
          throw bad(
            node.quoted
              ? `unmatched format character "${character}"`
              : `unmatched format separator "${character}"`,
          );
        at += character.length;
      }
      return;
    }
    if (node.keyword === 'TZH') {
      at = readOffsetHours(fields, text, at);
      return;
    }
    while (/\s/.test(text[at] ?? '')) at++;
    at = readField(fields, text, at, { node, keyword: node.keyword, next: nodes[i + 1] });
    if (node.ordinal !== '') at += 2;
  });
  if (text.slice(at).trim() !== '')
    throw bad('trailing characters remain in input string after datetime format');
  const { offsetHours = 0, offsetMinutes = 0 } = fields;
  if (offsetHours < 0 || offsetHours > offsetHoursMax || offsetMinutes < 0 || offsetMinutes > 59)
    throw new SqlError('22009', `time zone displacement out of range: "${text}"`);
  return fields;
}

/** A blank may stand in the place of the sign. */
function readOffsetHours(fields: DateTimeValues, text: string, at: number): number {
  const match = /^([ +-]?)\s*([+-]?\d+)/.exec(text.slice(at));
  if (match === null)
    throw new SqlError('22007', `invalid value "${text.slice(at, at + 2)}" for "TZH"`, {
      detail: 'Value must be an integer.',
    });
  fields.offsetSign = match[1] === '-' ? -1 : 1;
  fields.offsetHours = Number(match[2]);
  return at + match[0].length;
}

/** `.datetime()` of an SQL/JSON path: a string by the first ISO form that fits, or by a template. Pure. */
import { SqlError } from '../../sql-error.ts';
import { dayMicros, million } from '../../types/calendar.ts';
import { TimeTzValue } from '../../types/values.ts';
import { parseStandardDateTime } from '../standard-datetime.ts';
import { type PathItem, PathMoment } from './items.ts';

const zones = ['TZH:TZM', 'TZH'];
const times = ['HH24:MI:SS.US', 'HH24:MI:SS'];
const zonedTimes: readonly string[] = times.flatMap((time) => zones.map((zone) => time + zone));
const dateMarks = ['yyyy-mm-dd ', 'yyyy-mm-dd"T"'];

/** In the order in which the standard wants them tried. */
const templates: readonly string[] = [
  'yyyy-mm-dd',
  ...zonedTimes,
  ...times,
  ...dateMarks.flatMap((date) => zonedTimes.map((time) => date + time)),
  ...dateMarks.flatMap((date) => times.map((time) => date + time)),
];

/** Throws 22031; with a template what the template's fields throw: 22007, 22008. */
export function momentOf(item: PathItem, template: string | undefined): PathMoment {
  if (typeof item !== 'string')
    throw new SqlError('22031', 'jsonpath item method .datetime() can only be applied to a string');
  if (template !== undefined) return byTemplate(item, template);
  // All forms begin with digits: what does not is none of them.
  if (/^\s*[+-]?\d/.test(item))
    for (const one of templates) {
      const moment = tryTemplate(item, one);
      if (moment !== undefined) return moment;
    }
  throw new SqlError('22031', `datetime format is not recognized: "${item}"`, {
    hint: 'Use a datetime template argument to specify the input data format.',
  });
}

function byTemplate(text: string, template: string): PathMoment {
  const { dated, timed, zoned, local, offset } = parseStandardDateTime(text, template);
  const time = ((local % dayMicros) + dayMicros) % dayMicros;
  if (!timed) return new PathMoment('date', Number((local - time) / dayMicros), 0);
  if (!dated)
    return zoned
      ? new PathMoment('timetz', new TimeTzValue(time, offset), 0)
      : new PathMoment('time', time, 0);
  return zoned
    ? new PathMoment('timestamptz', local - BigInt(offset) * million, offset)
    : new PathMoment('timestamp', local, 0);
}

function tryTemplate(text: string, template: string): PathMoment | undefined {
  try {
    return byTemplate(text, template);
  } catch (error) {
    if (error instanceof SqlError) return undefined;
    throw error;
  }
}

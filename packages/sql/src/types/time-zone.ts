/**
 * Time zones by Node's own ICU data. A zone answers one question, its offset at an instant; answers are cached by
 * quarter hours, because that is the grid on which the world's clocks change.
 */
import { SqlError } from '../sql-error.ts';

export interface TimeZone {
  /** As SHOW TimeZone prints it. */
  readonly name: string;
  /** The offset never changes. */
  readonly fixed?: true;
  /** Seconds east of Greenwich at an instant. Unit of the argument: seconds since 1970. */
  offsetAt(epochSeconds: number): number;
}

const bucketSeconds = 900;
const bucketsMax = 20_000;
/** Before this, clocks changed off the grid and the cache is not used. */
const gridSince = Date.UTC(1972, 0, 1) / 1000;
/** ICU's calendar ends at 8.64e15 ms; beyond it the rules of the last year repeat, as in PostgreSQL. */
const icuSecondsMax = 8.64e12;
const zonesMax = 700;

class FixedZone implements TimeZone {
  readonly name: string;
  readonly fixed = true;
  private readonly offset: number;

  constructor(name: string, offset: number) {
    this.name = name;
    this.offset = offset;
  }

  offsetAt(): number {
    return this.offset;
  }
}

class IcuZone implements TimeZone {
  readonly name: string;
  private readonly format: Intl.DateTimeFormat;
  private readonly buckets = new Map<number, number>();

  constructor(name: string, format: Intl.DateTimeFormat) {
    this.name = name;
    this.format = format;
  }

  offsetAt(epochSeconds: number): number {
    if (epochSeconds < gridSince) return this.ask(epochSeconds);
    const bucket = Math.floor(epochSeconds / bucketSeconds);
    const cached = this.buckets.get(bucket);
    if (cached !== undefined) return cached;
    const offset = this.ask(epochSeconds);
    if (this.buckets.size >= bucketsMax) this.buckets.clear();
    this.buckets.set(bucket, offset);
    return offset;
  }

  private ask(epochSeconds: number): number {
    const bounded = Math.max(-icuSecondsMax, Math.min(icuSecondsMax, epochSeconds));
    const parts = this.format.formatToParts(bounded * 1000);
    const name = parts.find((part) => part.type === 'timeZoneName')?.value ?? 'GMT';
    const match = /^GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(name);
    const seconds =
      Number(match?.[2] ?? 0) * 3600 + Number(match?.[3] ?? 0) * 60 + Number(match?.[4] ?? 0);
    return match?.[1] === '-' ? -seconds : seconds;
  }
}

export const utcZone: TimeZone = new FixedZone('UTC', 0);

const zones = new Map<string, TimeZone>();
/** The abbreviations that PostgreSQL's default set fixes and that people use. Unit: hours. */
const abbreviations: ReadonlyMap<string, number> = new Map([
  ['utc', 0],
  ['gmt', 0],
  ['z', 0],
  ['zulu', 0],
  ['est', -5],
  ['edt', -4],
  ['cst', -6],
  ['cdt', -5],
  ['mst', -7],
  ['mdt', -6],
  ['pst', -8],
  ['pdt', -7],
  ['cet', 1],
  ['cest', 2],
]);

/** An abbreviation in a timestamp's text. */
export function zoneByAbbreviation(name: string): TimeZone | undefined {
  const hours = abbreviations.get(name.toLowerCase());
  return hours === undefined ? undefined : new FixedZone(name, hours * 3600);
}

/** An IANA name, in any case; undefined if there is none. */
export function zoneByName(name: string): TimeZone | undefined {
  const folded = name.toLowerCase();
  if (folded === 'utc') return utcZone;
  const cached = zones.get(folded);
  if (cached !== undefined) return cached;
  if (!/^[a-z][a-z0-9_+\-/]*$/.test(folded)) return undefined;
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      timeZoneName: 'longOffset',
      year: 'numeric',
    });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  const resolved = format.resolvedOptions().timeZone;
  const zone = new IcuZone(resolved.toLowerCase() === folded ? resolved : spelled(name), format);
  if (zones.size >= zonesMax) zones.clear();
  zones.set(folded, zone);
  return zone;
}

/** ICU resolves old names to others and does not tell their spelling: words begin with capitals, nearly always. */
function spelled(name: string): string {
  if (name !== name.toLowerCase()) return name;
  return name.replace(/(^|[/_-])([a-z])/g, (_all, mark: string, letter: string) => {
    return `${mark}${letter.toUpperCase()}`;
  });
}

/** The value of SET TimeZone. Throws 22023. */
export function zoneBySetting(value: string): TimeZone {
  const hours = /^[+-]?\d+(?:\.\d+)?$/.test(value) ? Number(value) : undefined;
  if (hours !== undefined && Math.abs(hours) < 168) return fixedZone(Math.round(hours * 3600));
  const zone = zoneByName(value);
  if (zone === undefined)
    throw new SqlError('22023', `invalid value for parameter "TimeZone": "${value}"`);
  return zone;
}

/** PostgreSQL names such a zone in POSIX style: `<+03>-03`. */
function fixedZone(offset: number): TimeZone {
  const digits = (sign: string) => {
    const magnitude = Math.abs(offset);
    const two = (n: number) => String(n).padStart(2, '0');
    const [h, m, s] = [
      Math.floor(magnitude / 3600),
      Math.floor(magnitude / 60) % 60,
      magnitude % 60,
    ];
    return `${sign}${two(h)}${m !== 0 || s !== 0 ? `:${two(m)}` : ''}${s !== 0 ? `:${two(s)}` : ''}`;
  };
  const [own, reversed] = offset < 0 ? ['-', '+'] : ['+', '-'];
  return new FixedZone(`<${digits(own)}>${digits(reversed)}`, offset);
}

/** `+02`, `-03:30`: the POSIX sense, in which what stands behind is west of Greenwich. */
export function zoneOfOffset(name: string): TimeZone | undefined {
  const match = /^(?:utc|gmt)?([+-])(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?$/i.exec(name);
  if (match === null) return undefined;
  const seconds = Number(match[2]) * 3600 + Number(match[3] ?? 0) * 60 + Number(match[4] ?? 0);
  return fixedZone(match[1] === '-' ? seconds : -seconds);
}

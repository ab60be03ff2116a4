/** Civil dates and times of day in the proleptic Gregorian calendar, and how ISO style prints them. Pure. */

/** Days from 1970-01-01 to 2000-01-01. */
export const epochDays = 10_957;
/** Seconds from 1970 to 2000. */
export const epochSeconds = 946_684_800;
export const daySeconds = 86_400;
export const dayMicros = 86_400_000_000n;
export const million = 1_000_000n;

export interface CivilDate {
  /** 0 is 1 BC. */
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

export function isLeapYear(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

export function daysInMonth(year: number, month: number): number {
  if (month === 2) return isLeapYear(year) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Days since 1970-01-01. Year 0 is 1 BC. */
export function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/** @param days since 1970-01-01 */
export function civilFromDays(days: number): CivilDate {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

/** A moment without zone, taken apart. */
export interface CivilTime extends CivilDate {
  /** Days since 2000-01-01. */
  readonly days: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly micros: number;
}

/** @param micros since 2000-01-01 00:00 */
export function civilTime(micros: bigint): CivilTime {
  let days = micros / dayMicros;
  let rest = micros % dayMicros;
  if (rest < 0n) {
    days -= 1n;
    rest += dayMicros;
  }
  const inDay = Number(rest);
  const seconds = Math.floor(inDay / 1_000_000);
  return {
    ...civilFromDays(Number(days) + epochDays),
    days: Number(days),
    hour: Math.floor(seconds / 3600),
    minute: Math.floor(seconds / 60) % 60,
    second: seconds % 60,
    micros: inDay % 1_000_000,
  };
}

/** Microseconds since 2000-01-01 00:00 of a date and microseconds into its day. */
export function microsOf(year: number, month: number, day: number, inDay: bigint): bigint {
  return BigInt(daysFromCivil(year, month, day) - epochDays) * dayMicros + inDay;
}

export function two(n: number): string {
  return n < 10 ? `0${n}` : String(n);
}

/** `2020-01-31`; the era is printed by who has the rest of the text. */
export function formatCivilDate({ year, month, day }: CivilDate): string {
  const shown = year > 0 ? year : 1 - year;
  return `${String(shown).padStart(4, '0')}-${two(month)}-${two(day)}`;
}

export function formatFraction(micros: number): string {
  return micros === 0 ? '' : `.${String(micros).padStart(6, '0').replace(/0+$/, '')}`;
}

/** `12:00:00.5`. @param micros since midnight, up to and with 24:00 */
export function formatTimeOfDay(micros: bigint): string {
  const all = Number(micros);
  const seconds = Math.floor(all / 1_000_000);
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${formatFraction(all % 1_000_000)}`;
}

/** `+02`, `-03:30`. @param offset seconds east of Greenwich */
export function formatOffset(offset: number): string {
  const magnitude = Math.abs(offset);
  const hours = `${offset < 0 ? '-' : '+'}${two(Math.floor(magnitude / 3600))}`;
  const [minutes, seconds] = [Math.floor(magnitude / 60) % 60, magnitude % 60];
  if (seconds !== 0) return `${hours}:${two(minutes)}:${two(seconds)}`;
  return minutes !== 0 ? `${hours}:${two(minutes)}` : hours;
}

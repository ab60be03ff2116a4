/** The time of AS OF SYSTEM TIME and flotilla.read_as_of: a timestamp, or an interval before now, as people write them. */
import { timestampToWallMs, toTimestamp } from '@flotilla/base';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TextContext } from '../types/codec.ts';
import { intervalSpan } from '../types/interval.ts';
import { parseText } from '../types/text-codec.ts';
import { utcZone } from '../types/time-zone.ts';
import { isFiniteTimestamp } from '../types/timestamp.ts';
import { intervalType, timestamptzType } from '../types/type.ts';
import type { IntervalValue } from '../types/values.ts';

const unixEpochMicros = 946_684_800_000_000n;

/** Instead of a time: as long ago as it takes for the nearest replica to know. */
export const followerReadTimestamp = 'follower_read_timestamp()';

/** What times are counted from. Unit: ms. */
export interface ReadClock {
  /** Since 1970. */
  readonly nowMs: number;
  /** How long ago the nearest replica surely knows of. */
  readonly followerReadLagMs: number;
  /** What the session has seen: it does not read before that. Since 1970; 0 = nothing. */
  readonly seenMs: number;
}

/** A clock that shows more than this from now shows a wrong time. Unit: ms. */
const clocksApartMs = 250;

/** @returns ms since 1970. Throws 22007 where it is neither, 22023 where it is not in the past. */
export function readAsOf(text: string, context: TextContext, clock: ReadClock): number {
  if (isFollowerReadTimestamp(text)) return followerReadTimeOf(clock);
  const ms = timeOf(text, context, clock);
  if (ms > clock.nowMs) throw inFuture(text);
  return ms;
}

/** As `readAsOf`; a time that has not come yet is now, so that a session with such a setting can still be used. */
export function readAsOfAtMost(text: string, context: TextContext, clock: ReadClock): number {
  if (isFollowerReadTimestamp(text)) return followerReadTimeOf(clock);
  return Math.min(clock.nowMs, timeOf(text, context, clock));
}

/** For SET. @returns its argument. Throws as `readAsOf`, except where a timestamp has not come yet. */
export function checkReadAsOf(text: string): string {
  if (text === '' || isFollowerReadTimestamp(text)) return text;
  if (timestampOf(text, utc) === undefined && spanOf(text, utc) > 0) throw inFuture(text);
  return text;
}

const utc: TextContext = {
  zone: utcZone,
  extraFloatDigits: 1,
  now: 0n,
  byteaOutput: 'hex',
  dateOrder: 'MDY',
};

function isFollowerReadTimestamp(text: string): boolean {
  return text.trim().toLowerCase() === followerReadTimestamp;
}

/** @returns ms since 1970. Throws 22023 where the session has seen what is still to come. */
export function followerReadTimeOf({ nowMs, followerReadLagMs, seenMs }: ReadClock): number {
  if (seenMs > nowMs + clocksApartMs + 1)
    throw new SqlError('22023', 'flotilla.session_token is of a time to come');
  return Math.max(0, seenMs, nowMs - followerReadLagMs);
}

/** For SET. @returns its argument. Throws 22023. */
export function checkSessionToken(text: string): string {
  if (text !== '' && !/^\d{1,16}$/.test(text))
    throw new SqlError('22023', `"${text}" is no token that session_token() has given`);
  return text;
}

/** The first millisecond at which everything of the token is there. Since 1970; 0 = there is no token. */
export function seenMsOf(token: string): number {
  return token === '' ? 0 : timestampToWallMs(toTimestamp(Number(token))) + 1;
}

function timeOf(text: string, context: TextContext, { nowMs }: ReadClock): number {
  return Math.max(0, timestampOf(text, context) ?? nowMs + spanOf(text, context));
}

function inFuture(text: string): SqlError {
  return new SqlError('22023', `AS OF SYSTEM TIME "${text}" is in the future`, {
    hint: "Intervals before now have a minus: '-10s'.",
  });
}

function timestampOf(text: string, context: TextContext): number | undefined {
  let value: Datum;
  try {
    value = parseText(timestamptzType, text, context);
  } catch (error) {
    if (error instanceof SqlError && error.code === '22007') return undefined;
    throw error;
  }
  if (typeof value !== 'bigint' || !isFiniteTimestamp(value))
    throw new SqlError('22023', `AS OF SYSTEM TIME "${text}" is not a time of the past`);
  return Number((value + unixEpochMicros) / 1000n);
}

/** Months count as 30 days. Unit: ms. */
function spanOf(text: string, context: TextContext): number {
  try {
    const micros = intervalSpan(parseText(intervalType, text, context) as IntervalValue);
    return Number(micros / 1000n);
  } catch (error) {
    if (!(error instanceof SqlError) || error.code !== '22007') throw error;
    throw new SqlError('22007', `"${text}" is neither a timestamp nor an interval`);
  }
}

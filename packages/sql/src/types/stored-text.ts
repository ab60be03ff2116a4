/** The text forms of values that are stored: the same for every session. */
import type { TextContext } from './text-codec.ts';
import { utcZone } from './time-zone.ts';

export const storedText: TextContext = { zone: utcZone, extraFloatDigits: 1, now: 0n };

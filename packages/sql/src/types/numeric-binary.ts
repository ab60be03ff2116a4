/** numeric on the wire in binary: count, weight, sign, display scale, then digits in base 10,000. */
import { SqlError } from '../sql-error.ts';
import { formatDecimal, toDecimal } from './numeric.ts';

const signs: Readonly<Record<string, number>> = {
  NaN: 0xc000,
  Infinity: 0xd000,
  '-Infinity': 0xf000,
};

/** The display scale that PostgreSQL sends with an infinity. */
const infinityScale = 32;

export function sendNumeric(datum: string): Uint8Array {
  const special = signs[datum];
  if (special !== undefined) return header(0, 0, special, datum === 'NaN' ? 0 : infinityScale, []);
  const { unscaled, scale } = toDecimal(datum);
  const negative = unscaled < 0n;
  const text = (negative ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const whole = text.slice(0, text.length - scale);
  const fraction = text.slice(text.length - scale);
  const aligned =
    whole.padStart(Math.ceil(whole.length / 4) * 4, '0') +
    fraction.padEnd(Math.ceil(fraction.length / 4) * 4, '0');
  const digits: number[] = [];
  for (let at = 0; at < aligned.length; at += 4) digits.push(Number(aligned.slice(at, at + 4)));
  let weight = Math.ceil(whole.length / 4) - 1;
  while (digits.length > 0 && digits[0] === 0) {
    digits.shift();
    weight--;
  }
  while (digits.length > 0 && digits[digits.length - 1] === 0) digits.pop();
  return header(
    digits.length,
    digits.length === 0 ? 0 : weight,
    negative ? 0x4000 : 0,
    scale,
    digits,
  );
}

/** Throws 22P03 and 08P01. */
export function receiveNumeric(bytes: Buffer): string {
  if (bytes.length < 8) throw new SqlError('08P01', 'insufficient data left in message');
  const [count, weight] = [bytes.readUInt16BE(0), bytes.readInt16BE(2)];
  const [sign, scale] = [bytes.readUInt16BE(4), bytes.readUInt16BE(6)];
  if (bytes.length < 8 + count * 2)
    throw new SqlError('08P01', 'insufficient data left in message');
  if (bytes.length > 8 + count * 2)
    throw new SqlError('22P03', 'incorrect binary data format in bind parameter');
  for (const [name, code] of Object.entries(signs)) if (sign === code) return name;
  if (sign !== 0 && sign !== 0x4000)
    throw new SqlError('22P03', 'invalid sign in external "numeric" value');
  if (scale > 0x3fff) throw new SqlError('22P03', 'invalid scale in external "numeric" value');
  let unscaled = 0n;
  for (let i = 0; i < count; i++) {
    const digit = bytes.readUInt16BE(8 + i * 2);
    if (digit > 9_999) throw new SqlError('22P03', 'invalid digit in external "numeric" value');
    unscaled = unscaled * 10_000n + BigInt(digit);
  }
  const exponent = (weight + 1 - count) * 4 + scale;
  unscaled =
    exponent >= 0 ? unscaled * 10n ** BigInt(exponent) : unscaled / 10n ** BigInt(-exponent);
  return formatDecimal({ unscaled: sign === 0 ? unscaled : -unscaled, scale });
}

function header(
  count: number,
  weight: number,
  sign: number,
  scale: number,
  digits: readonly number[],
): Uint8Array {
  const bytes = Buffer.allocUnsafe(8 + count * 2);
  bytes.writeUInt16BE(count, 0);
  bytes.writeInt16BE(weight, 2);
  bytes.writeUInt16BE(sign, 4);
  bytes.writeUInt16BE(scale, 6);
  digits.forEach((digit, i) => {
    bytes.writeUInt16BE(digit, 8 + i * 2);
  });
  return bytes;
}

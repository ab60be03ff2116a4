/** float8 as PostgreSQL reads and prints it: shortest digits that read back, exponent of at least two digits. */
import { SqlError } from '../sql-error.ts';

const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const nonZeroMantissa = /^[+-]?[0.]*[1-9]/;

/** As float8in and float4in. Throws 22P02, 22003. */
export function parseFloatText(text: string, display: string): number {
  const trimmed = text.trim();
  if (decimal.test(trimmed)) {
    const value = Number(trimmed);
    if (!Number.isFinite(value) || (value === 0 && nonZeroMantissa.test(trimmed)))
      throw new SqlError('22003', `"${trimmed}" is out of range for type ${display}`);
    return value;
  }
  switch (trimmed.toLowerCase()) {
    case 'nan':
      return Number.NaN;
    case 'inf':
    case '+inf':
    case 'infinity':
    case '+infinity':
      return Infinity;
    case '-inf':
    case '-infinity':
      return -Infinity;
    default:
      throw new SqlError('22P02', `invalid input syntax for type ${display}: "${text}"`);
  }
}

/** As float8out. @param extraDigits the setting extra_float_digits: above 0 = shortest exact, else 15 + it digits. */
export function formatFloat8(value: number, extraDigits: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (value === Infinity) return 'Infinity';
  if (value === -Infinity) return '-Infinity';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  return extraDigits > 0 ? shortest(value) : significant(value, Math.max(1, 15 + extraDigits));
}

/** As float4out: the shortest digits that give the same float4 again. */
export function formatFloat4(value: number, extraDigits: number): string {
  if (!Number.isFinite(value) || value === 0) return formatFloat8(value, 1);
  if (extraDigits <= 0) return significant(value, Math.max(1, 6 + extraDigits));
  let text = '';
  for (let digits = 1; digits <= 9; digits++) {
    text = value.toExponential(digits - 1);
    if (Math.fround(Number(text)) === value) break;
  }
  const exponent = Number(text.slice(text.indexOf('e') + 1));
  return exponent >= -4 && exponent < 6 ? positional(text) : withExponent(text);
}

/** `1.5e+2` as `150`. */
function positional(text: string): string {
  const value = Number(text);
  const [mantissa = '', exponent = '0'] = text.split('e');
  const digits = mantissa.replace(/^-|\.0*$/g, '').replace('.', '').length;
  return value.toFixed(Math.max(0, digits - 1 - Number(exponent)));
}

/** PostgreSQL writes positional notation for decimal exponents -4 to 14, otherwise d.ddde+XX. */
function shortest(value: number): string {
  const text = String(value);
  const magnitude = Math.abs(value);
  if (magnitude < 1e15 && magnitude >= 1e-4 && !text.includes('e')) return text;
  return withExponent(value.toExponential());
}

/** printf's %.{digits}g. */
function significant(value: number, digits: number): string {
  const [mantissa = '', exponentText = '0'] = value.toExponential(digits - 1).split('e');
  const exponent = Number(exponentText);
  const trim = (text: string) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);
  if (exponent < -4 || exponent >= digits) return withExponent(`${trim(mantissa)}e${exponentText}`);
  return trim(value.toFixed(Math.max(0, digits - 1 - exponent)));
}

function withExponent(text: string): string {
  const [mantissa = '', exponent = ''] = text.split('e');
  const sign = exponent.startsWith('-') ? '-' : '+';
  return `${mantissa}e${sign}${exponent.replace(/^[+-]/, '').padStart(2, '0')}`;
}

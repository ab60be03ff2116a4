/** Functions that PostgreSQL has in extensions: uuid-ossp's random identifiers, pgcrypto's digests. */
import { createHash, createHmac, randomBytes, randomUUID } from 'node:crypto';
import { SqlError } from '../sql-error.ts';
import { byteaType, int4Type, textType, uuidType } from '../types/type.ts';
import { type Signature, signature } from './signature.ts';

const algorithms: ReadonlySet<string> = new Set([
  'md5',
  'sha1',
  'sha224',
  'sha256',
  'sha384',
  'sha512',
]);

/** Throws 22023. */
function algorithm(name: unknown): string {
  const lower = String(name).toLowerCase();
  if (algorithms.has(lower)) return lower;
  throw new SqlError('22023', `Cannot use "${String(name)}": No such hash algorithm`);
}

function bytesOf(value: unknown): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : (value as Uint8Array);
}

function result(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes);
}

export const extensionFunctions: readonly Signature[] = [
  signature('uuid_generate_v4', [], uuidType, () => randomUUID(), { volatility: 'volatile' }),
  ...[textType, byteaType].flatMap((type) => [
    signature('digest', [type, textType], byteaType, (data, name) =>
      result(createHash(algorithm(name)).update(bytesOf(data)).digest()),
    ),
    signature('hmac', [type, type, textType], byteaType, (data, key, name) =>
      result(createHmac(algorithm(name), bytesOf(key)).update(bytesOf(data)).digest()),
    ),
  ]),
  signature(
    'gen_random_bytes',
    [int4Type],
    byteaType,
    (count) => {
      const length = count as number;
      if (length < 1 || length > 1024) throw new SqlError('39000', 'Length not in range');
      return result(randomBytes(length));
    },
    { volatility: 'volatile' },
  ),
];

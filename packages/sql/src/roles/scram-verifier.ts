/**
 * Passwords as they are kept: SCRAM-SHA-256 verifiers in PostgreSQL's text form,
 * `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. A verifier checks a password and does not give it away.
 * Source: RFC 5802 §3, RFC 7677; PostgreSQL documentation, pg_authid.
 */
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { scramIterations } from '../limits.ts';

/** Base64 but for the number. */
export interface ScramVerifier {
  readonly iterations: number;
  readonly salt: string;
  readonly storedKey: string;
  readonly serverKey: string;
}

const derive = promisify(pbkdf2);
const form =
  /^SCRAM-SHA-256\$(\d{1,9}):([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{43}=)$/;

/** Undefined for a text that is none. */
export function parseScramVerifier(text: string): ScramVerifier | undefined {
  const [, iterations, salt, storedKey, serverKey] = form.exec(text) ?? [];
  if (salt === undefined || storedKey === undefined || serverKey === undefined) return undefined;
  return { iterations: Number(iterations), salt, storedKey, serverKey };
}

export function formatScramVerifier(verifier: ScramVerifier): string {
  const { iterations, salt, storedKey, serverKey } = verifier;
  return `SCRAM-SHA-256$${iterations}:${salt}$${storedKey}:${serverKey}`;
}

/** Costs milliseconds of a thread that is not the event loop's. */
export async function makeScramVerifier(
  password: string,
  salt: Uint8Array = randomBytes(16),
  iterations: number = scramIterations,
): Promise<ScramVerifier> {
  const salted = await derive(prepared(password), salt, iterations, 32, 'sha256');
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest();
  return {
    iterations,
    salt: Buffer.from(salt).toString('base64'),
    storedKey: createHash('sha256').update(hmac('Client Key')).digest('base64'),
    serverKey: hmac('Server Key').toString('base64'),
  };
}

/**
 * For a name that has no password: always the same for the name, so that it looks like any other, and good for no
 * password at all. Source: RFC 5802 §9 on enumeration of users.
 */
export function mockScramVerifier(name: string, secret: Uint8Array): ScramVerifier {
  const part = (what: string): Buffer =>
    createHmac('sha256', secret).update(`${what}\0${name}`).digest();
  return {
    iterations: scramIterations,
    salt: part('salt').subarray(0, 16).toString('base64'),
    storedKey: part('stored key').toString('base64'),
    serverKey: part('server key').toString('base64'),
  };
}

/**
 * SASLprep (RFC 4013) as far as it changes what people type: spaces become a space, invisible characters go, the rest
 * is NFKC. A password that it would refuse is taken as it is, as PostgreSQL does.
 */
function prepared(password: string): string {
  if (/^[\x20-\x7e]*$/.test(password)) return password;
  const mapped = password
    .replaceAll(/[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g, ' ')
    .replaceAll(
      /\u00ad|\u034f|\u1806|[\u180b-\u180d]|\u200c|\u200d|\u2060|[\ufe00-\ufe0f]|\ufeff/g,
      '',
    )
    .normalize('NFKC');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is prohibited
  return /[\u0000-\u001f\u007f-\u009f\ufffd]/.test(mapped) || mapped === '' ? password : mapped;
}

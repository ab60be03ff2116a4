/** Who a process is to its nats-server, and what to say when the server, or the process, does not like the other. */
import { DbError, type Disk } from '@flotilla/base';
import {
  type Authenticator,
  credsAuthenticator,
  errors,
  nkeyAuthenticator,
  UserAuthenticationExpiredError,
} from '@nats-io/transport-node';

/** One way at most: a user with a password, a token, the seed of an nkey, or the credentials of a JWT. */
export interface NatsCredentials {
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** Seed of a user's nkey: `SU…`. */
  readonly nkeySeed?: string;
  /** Content of a credentials file: a user's JWT and the seed of its nkey. */
  readonly credentials?: string;
  /** Such a file. Read anew for every connection: a JWT may be replaced before it expires. */
  readonly credentialsFile?: string;
}

/** Of options that hold more, and perhaps `undefined`: the credentials alone, as far as they are given. */
export function credentialsOf(
  given: {
    readonly [Name in keyof NatsCredentials]?: NatsCredentials[Name] | undefined;
  },
): NatsCredentials {
  const { user, password, token, nkeySeed, credentials, credentialsFile } = given;
  return {
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(token === undefined ? {} : { token }),
    ...(nkeySeed === undefined ? {} : { nkeySeed }),
    ...(credentials === undefined ? {} : { credentials }),
    ...(credentialsFile === undefined ? {} : { credentialsFile }),
  };
}

/** @throws DbError INVALID_ARGUMENT: more than one way, half of one, or something that is none */
export function checkCredentials(given: NatsCredentials): void {
  const { user, password, token, nkeySeed, credentials, credentialsFile } = given;
  const secrets = { token, nkeySeed, credentials, credentialsFile };
  const ways = { 'user and password': user ?? password, ...secrets };
  const named = Object.entries(ways).flatMap(([way, value]) => (value === undefined ? [] : [way]));
  if (named.length > 1)
    throw invalid(`credentials for NATS are given in ${named.length} ways: ${named.join('; ')}`);
  if (user === undefined && password !== undefined)
    throw invalid('a password for NATS needs its user');
  authenticatorOf(given);
}

/** Of the ways that sign the server's nonce, but for a file. @throws DbError INVALID_ARGUMENT */
export function authenticatorOf(given: NatsCredentials): Authenticator | undefined {
  const { nkeySeed, credentials } = given;
  if (nkeySeed !== undefined)
    return tried('nkeySeed is no seed of a user (SU…)', () =>
      nkeyAuthenticator(Buffer.from(nkeySeed.trim(), 'utf8')),
    );
  if (credentials !== undefined)
    return tried('the credentials hold no JWT with its seed, as a credentials file does', () =>
      credsAuthenticator(Buffer.from(credentials, 'utf8')),
    );
  return undefined;
}

/** What a credentials file holds now. @throws DbError INVALID_ARGUMENT: nothing that can be read, or no credentials */
export async function readCredentials(disk: Disk, file: string): Promise<Uint8Array> {
  const bytes = await disk.readFile(file).catch((cause: unknown) => {
    throw new DbError('INVALID_ARGUMENT', `${file} cannot be read`, { cause });
  });
  if (bytes === undefined) throw invalid(`the file of NATS credentials ${file} is not there`);
  tried(`${file} holds no JWT with its seed, as a credentials file does`, () =>
    credsAuthenticator(bytes),
  );
  return bytes;
}

/** One that can sign. Neither what is wrong with it nor its cause may show the secret. */
function tried(wrong: string, make: () => Authenticator): Authenticator {
  try {
    const authenticator = make();
    authenticator('nonce');
    return authenticator;
  } catch {
    throw invalid(wrong);
  }
}

/** Codes of certificates that do not hold, as OpenSSL and Node.js name them. */
const certificateCode =
  /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS_|ERR_SSL_|ERR_OSSL_|HOSTNAME_MISMATCH|INVALID_CA/;

/**
 * Why there is no sense in trying again, in words for whoever has configured it. Undefined: there may be, since the server
 * may not be there yet.
 */
export function refusalOf(error: unknown): string | undefined {
  if (error instanceof errors.AuthorizationError)
    return 'the NATS server refuses the credentials, or wants some';
  if (error instanceof UserAuthenticationExpiredError)
    return 'the credentials for the NATS server have expired';
  if (!(error instanceof Error)) return undefined;
  if (/does not support 'tls'/.test(error.message)) return 'the NATS server offers no TLS';
  const code = 'code' in error ? String(error.code) : '';
  return certificateCode.test(code)
    ? `TLS with the NATS server fails: ${error.message} (${code})`
    : undefined;
}

function invalid(message: string): DbError {
  return new DbError('INVALID_ARGUMENT', message);
}

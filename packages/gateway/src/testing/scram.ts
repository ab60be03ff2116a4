/** SCRAM-SHA-256 (RFC 5802, 7677) as a client speaks it, message by message: for tests that look at every one of them. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { type BackendMessage, message, type RawClient, startup } from './raw-client.ts';

export interface ScramBeginning {
  /** What the server said so far. */
  readonly answers: readonly BackendMessage[];
  /** Without the header of GS2. */
  readonly clientFirst: string;
  readonly serverFirst: string;
}

export interface ScramExchange extends ScramBeginning {
  readonly clientFinal: string;
  /** '' where the server refuses. */
  readonly serverFinal: string;
}

const saslFinal = 12;

/** Starts up, and goes as far as the server's challenge. */
export async function beginScram(
  client: RawClient,
  parameters: Readonly<Record<string, string>>,
): Promise<ScramBeginning> {
  client.send(startup(parameters));
  const offer = await heard(client);
  const clientFirst = `n=,r=${randomBytes(18).toString('base64')}`;
  const first = Buffer.from(`n,,${clientFirst}`, 'latin1');
  const length = Buffer.alloc(4);
  length.writeInt32BE(first.length);
  const mechanism = Buffer.from('SCRAM-SHA-256\0', 'latin1');
  client.send(message('p', Buffer.concat([mechanism, length, first])));
  const challenge = await heard(client);
  const serverFirst = challenge.body.toString('latin1', 4);
  return { answers: [offer, challenge], clientFirst, serverFirst };
}

/** With the proof of no password at all, which costs the client no time. @returns what the server said */
export async function guessScram(
  client: RawClient,
  parameters: Readonly<Record<string, string>>,
): Promise<readonly BackendMessage[]> {
  const begun = await beginScram(client, parameters);
  const { answers } = await finish(client, begun, () => Buffer.alloc(32, 7));
  return answers;
}

/** With a password, right or wrong. The server's greeting is left to be read. */
export async function loginByScram(
  client: RawClient,
  parameters: Readonly<Record<string, string>>,
  password: string,
): Promise<ScramExchange> {
  const begun = await beginScram(client, parameters);
  const [, salt = '', iterations = ''] = /,s=([^,]+),i=(\d+)/.exec(begun.serverFirst) ?? [];
  const salted = pbkdf2Sync(
    password,
    Buffer.from(salt, 'base64'),
    Number(iterations),
    32,
    'sha256',
  );
  return finish(client, begun, (authMessage) => {
    const clientKey = hmac(salted, 'Client Key');
    const signature = hmac(createHash('sha256').update(clientKey).digest(), authMessage);
    return clientKey.map((byte, index) => byte ^ (signature[index] ?? 0));
  });
}

async function finish(
  client: RawClient,
  begun: ScramBeginning,
  prove: (authMessage: string) => Uint8Array,
): Promise<ScramExchange> {
  const nonce = /^r=([^,]+)/.exec(begun.serverFirst)?.[1] ?? '';
  const withoutProof = `c=biws,r=${nonce}`;
  const proof = prove(`${begun.clientFirst},${begun.serverFirst},${withoutProof}`);
  const clientFinal = `${withoutProof},p=${Buffer.from(proof).toString('base64')}`;
  client.send(message('p', Buffer.from(clientFinal, 'latin1')));
  const last = await heard(client);
  const accepted = last.type === 'R' && last.body.readInt32BE(0) === saslFinal;
  const serverFinal = accepted ? last.body.toString('latin1', 4) : '';
  return { ...begun, answers: [...begun.answers, last], clientFinal, serverFinal };
}

async function heard(client: RawClient): Promise<BackendMessage> {
  const next = await client.next();
  if (next === undefined) throw new Error('the server closed during authentication');
  return next;
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

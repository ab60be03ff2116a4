/**
 * The first packets of a connection, before messages have type bytes: what they ask for and whether they are sound.
 * Pure; `connection.ts` acts on the answer. Source: PostgreSQL documentation, "Message Formats", "Start-up".
 */
import { isUtf8 } from 'node:buffer';

const sslRequestCode = 80877103;
const gssEncRequestCode = 80877104;
const cancelRequestCode = 80877102;
/** Length field of requests that carry a code only. */
const bareRequestBytes = 8;
const cancelRequestBytes = 16;

export interface StartupMessage {
  readonly kind: 'startup';
  /** Of the whole packet. */
  readonly bytes: number;
  readonly minorVersion: number;
  /** Settings as sent, `user` and `database` among them; a later one wins. Without `_pq_.` options. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Names of the protocol options asked for. We know none. */
  readonly protocolOptions: readonly string[];
}

export type InitialPacket =
  /** Not all there yet. */
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gssenc' }
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  | StartupMessage
  /** A protocol that we do not speak; the peer understands an error message. */
  | { readonly kind: 'unsupported'; readonly major: number; readonly minor: number }
  /** A startup packet with wrong content; the peer understands an error message. */
  | { readonly kind: 'malformed'; readonly reason: string }
  /** Not PostgreSQL at all, or hostile: close without a word. */
  | { readonly kind: 'garbage'; readonly reason: string };

/** Looks at the packet that begins at `start`. Its length is its first four bytes, in bytes, themselves included. */
export function decodeInitialPacket(
  bytes: Buffer,
  start: number,
  end: number,
  lengthMax: number,
): InitialPacket {
  const held = end - start;
  if (held < 4) {
    // The most significant byte of a legal length is zero: HTTP, SSH and TLS give themselves away at once.
    if (held > 0 && bytes[start] !== 0) return { kind: 'garbage', reason: 'length' };
    return { kind: 'incomplete' };
  }
  const length = bytes.readUInt32BE(start);
  if (length < bareRequestBytes || length > lengthMax) return { kind: 'garbage', reason: 'length' };
  if (held < length) return { kind: 'incomplete' };
  const code = bytes.readUInt32BE(start + 4);
  switch (code) {
    case sslRequestCode:
    case gssEncRequestCode:
      if (length !== bareRequestBytes) return { kind: 'garbage', reason: 'request length' };
      return { kind: code === sslRequestCode ? 'ssl' : 'gssenc' };
    case cancelRequestCode:
      if (length !== cancelRequestBytes) return { kind: 'garbage', reason: 'cancel length' };
      return {
        kind: 'cancel',
        processId: bytes.readUInt32BE(start + 8),
        secret: Buffer.from(bytes.subarray(start + 12, start + 16)),
      };
    default:
  }
  const major = code >>> 16;
  const minor = code & 0xffff;
  if (major !== 3) return { kind: 'unsupported', major, minor };
  return decodeStartup(bytes.subarray(start + 8, start + length), minor);
}

/** Pairs of zero-terminated strings, closed by one more zero, which must be the packet's last byte. */
function decodeStartup(body: Buffer, minorVersion: number): InitialPacket {
  const parameters = new Map<string, string>();
  const protocolOptions: string[] = [];
  if (!isUtf8(body)) return { kind: 'malformed', reason: 'startup packet is not UTF-8' };
  let at = 0;
  for (;;) {
    const nameEnd = body.indexOf(0, at);
    if (nameEnd < 0) return { kind: 'malformed', reason: 'startup packet is not terminated' };
    if (nameEnd === at) break;
    const valueEnd = body.indexOf(0, nameEnd + 1);
    if (valueEnd < 0) return { kind: 'malformed', reason: 'startup packet is not terminated' };
    const name = body.toString('utf8', at, nameEnd);
    if (name.startsWith('_pq_.')) protocolOptions.push(name);
    else parameters.set(name, body.toString('utf8', nameEnd + 1, valueEnd));
    at = valueEnd + 1;
  }
  if (at !== body.length - 1) {
    return { kind: 'malformed', reason: 'startup packet has bytes left over' };
  }
  return { kind: 'startup', bytes: body.length + 8, minorVersion, parameters, protocolOptions };
}

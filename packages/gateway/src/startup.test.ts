import { describe, expect, test } from 'vitest';
import { decodeInitialPacket } from './startup.ts';
import { cancelRequest, gssEncRequest, sslRequest, startup } from './testing/raw-client.ts';

const lengthMax = 10_000;
const decode = (bytes: Buffer) => decodeInitialPacket(bytes, 0, bytes.length, lengthMax);

describe('initial packets', () => {
  test('are incomplete at every length short of their own', () => {
    const whole = startup({ user: 'alice', database: 'db' });
    for (let length = 0; length < whole.length; length++) {
      expect(decode(whole.subarray(0, length)).kind).toBe('incomplete');
    }
    expect(decode(whole).kind).toBe('startup');
  });

  test('give parameters and protocol options', () => {
    const packet = decode(
      startup({ user: 'älice', '_pq_.grease': '1', database: 'db', __proto__x: 'y' }, 0x0003_0002),
    );
    expect(packet).toMatchObject({ minorVersion: 2, protocolOptions: ['_pq_.grease'] });
    if (packet.kind !== 'startup') throw new Error(packet.kind);
    expect([...packet.parameters]).toEqual([
      ['user', 'älice'],
      ['database', 'db'],
      ['__proto__x', 'y'],
    ]);
  });

  test('with a length that no packet has are garbage before anything is allocated', () => {
    for (const length of [0, 1, 4, 7, 10_001, 65_536, 2 ** 31, 2 ** 32 - 1]) {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt32BE(length);
      bytes.writeUInt32BE(0x0003_0000, 4);
      expect(decode(bytes).kind, String(length)).toBe('garbage');
    }
  });

  test('every length from 8 to the maximum is taken or refused, never thrown on', () => {
    for (let length = 8; length <= lengthMax; length += 97) {
      const bytes = Buffer.alloc(length, 0x61);
      bytes.writeUInt32BE(length);
      bytes.writeUInt32BE(0x0003_0000, 4);
      expect(decode(bytes).kind).toBe('malformed');
    }
  });

  test('of other protocols are known by their first byte', () => {
    expect(decode(Buffer.from('G')).kind).toBe('garbage');
    expect(decode(Buffer.from([0x16, 0x03, 0x01])).kind).toBe('garbage');
  });

  test('requests must have exactly their length', () => {
    expect(decode(sslRequest).kind).toBe('ssl');
    expect(decode(gssEncRequest).kind).toBe('gssenc');
    const cancel = decode(cancelRequest(7, Buffer.from([1, 2, 3, 4])));
    expect(cancel).toEqual({ kind: 'cancel', processId: 7, secret: Buffer.from([1, 2, 3, 4]) });
    expect(decode(cancelRequest(7, Buffer.alloc(5))).kind).toBe('garbage');
    expect(decode(cancelRequest(7, Buffer.alloc(3))).kind).toBe('garbage');
  });

  test('startup packets must be pairs, terminated, without rest, in UTF-8', () => {
    const bad = (body: Buffer) => {
      const bytes = Buffer.concat([Buffer.alloc(8), body]);
      bytes.writeUInt32BE(bytes.length);
      bytes.writeUInt32BE(0x0003_0000, 4);
      return decode(bytes).kind;
    };
    expect(bad(Buffer.from('user\0alice\0\0'))).toBe('startup');
    expect(bad(Buffer.from('user\0alice\0'))).toBe('malformed');
    expect(bad(Buffer.from('user\0alice'))).toBe('malformed');
    expect(bad(Buffer.from('user\0'))).toBe('malformed');
    expect(bad(Buffer.from('user\0alice\0\0x'))).toBe('malformed');
    expect(bad(Buffer.from([0x75, 0, 0xff, 0xfe, 0, 0]))).toBe('malformed');
    expect(bad(Buffer.alloc(0))).toBe('malformed');
  });

  test('tell protocol 2 and 4 from 3', () => {
    expect(decode(startup({}, 0x0002_0000))).toEqual({ kind: 'unsupported', major: 2, minor: 0 });
    expect(decode(startup({}, 0x0004_0001))).toEqual({ kind: 'unsupported', major: 4, minor: 1 });
  });
});

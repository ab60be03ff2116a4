/**
 * The stored form of every value in the engine:
 *
 *   u8 format (1) | u32 CRC-32C over key ‖ what follows | u64 timestamp | payload          (big-endian)
 *
 * The key in the checksum is the user's key, not the engine's, so that the leaseholder makes the bytes once and log,
 * followers, history and snapshots carry them unchanged: the checksum holds from evaluation to the last read. It is
 * checked on every read; a failure means that the disk cannot be trusted and ends the process.
 */
import { crc32c, ExitCode, FatalError, toHex } from '@flotilla/base';
import { readU64, writeU64 } from './storage-keys.ts';

const format = 1;
const crcAt = 1;
const timestampAt = 5;
const payloadAt = 13;
/** What the stored form adds to a payload. Unit: bytes. */
export const storedOverheadBytes: number = payloadAt;

export function encodeStored(key: Uint8Array, timestamp: number, payload: Uint8Array): Buffer {
  const stored = Buffer.allocUnsafe(payloadAt + payload.length);
  stored[0] = format;
  writeU64(stored, timestampAt, timestamp);
  stored.set(payload, payloadAt);
  stored.writeUInt32BE(crc32c(stored.subarray(timestampAt), crc32c(key)), crcAt);
  return stored;
}

/** True if the value is in stored form and belongs to the key. For bytes from outside. */
export function isIntact(key: Uint8Array, stored: Buffer): boolean {
  return (
    stored.length >= payloadAt &&
    stored[0] === format &&
    stored.readUInt32BE(crcAt) === crc32c(stored.subarray(timestampAt), crc32c(key))
  );
}

/** Returns its argument, checked. Throws FatalError(engineCorrupt). */
export function checkStored(key: Uint8Array, stored: Buffer): Buffer {
  if (!isIntact(key, stored))
    throw new FatalError(ExitCode.engineCorrupt, 'a stored value fails its checksum', {
      key: toHex(key),
      bytes: stored.length,
      format: stored[0],
    });
  return stored;
}

/** Of a checked value. */
export function storedTimestamp(stored: Buffer): number {
  return readU64(stored, timestampAt);
}

/** Of a checked value: a view. */
export function storedPayload(stored: Buffer): Buffer {
  return stored.subarray(payloadAt);
}

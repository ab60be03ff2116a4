/** Encoders of what the server says, except rows (`data-row.ts`) and errors (`error-response.ts`). Write only. */
import type { ColumnDescription, Notification, Oid, TransactionStatus } from '@flotilla/sql';
import { Backend } from './message-types.ts';
import type { OutputBuffer } from './output-buffer.ts';

/** A value's wire format: 0 text, 1 binary. */
export type Format = 0 | 1;

function writeEmpty(output: OutputBuffer, type: number): void {
  output.ensure(5);
  const { bytes, length } = output;
  bytes[length] = type;
  bytes[length + 1] = 0;
  bytes[length + 2] = 0;
  bytes[length + 3] = 0;
  bytes[length + 4] = 4;
  output.length = length + 5;
}

export function writeParseComplete(output: OutputBuffer): void {
  writeEmpty(output, Backend.parseComplete);
}

export function writeBindComplete(output: OutputBuffer): void {
  writeEmpty(output, Backend.bindComplete);
}

export function writeCloseComplete(output: OutputBuffer): void {
  writeEmpty(output, Backend.closeComplete);
}

export function writeNoData(output: OutputBuffer): void {
  writeEmpty(output, Backend.noData);
}

export function writePortalSuspended(output: OutputBuffer): void {
  writeEmpty(output, Backend.portalSuspended);
}

export function writeEmptyQueryResponse(output: OutputBuffer): void {
  writeEmpty(output, Backend.emptyQueryResponse);
}

const statusByte = { idle: 0x49, active: 0x54, failed: 0x45 } as const; // 'I', 'T', 'E'

export function writeReadyForQuery(output: OutputBuffer, status: TransactionStatus): void {
  output.ensure(6);
  const { bytes, length } = output;
  bytes[length] = Backend.readyForQuery;
  bytes[length + 1] = 0;
  bytes[length + 2] = 0;
  bytes[length + 3] = 0;
  bytes[length + 4] = 5;
  bytes[length + 5] = statusByte[status];
  output.length = length + 6;
}

export function writeCommandComplete(output: OutputBuffer, tag: string): void {
  const message = output.beginMessage(Backend.commandComplete);
  output.writeCString(tag);
  output.endMessage(message);
}

export function writeParameterStatus(output: OutputBuffer, name: string, value: string): void {
  const message = output.beginMessage(Backend.parameterStatus);
  output.writeCString(name);
  output.writeCString(value);
  output.endMessage(message);
}

export function writeNotificationResponse(output: OutputBuffer, notification: Notification): void {
  const message = output.beginMessage(Backend.notificationResponse);
  output.writeInt32(notification.processId);
  output.writeCString(notification.channel);
  output.writeCString(notification.payload);
  output.endMessage(message);
}

export function writeBackendKeyData(
  output: OutputBuffer,
  processId: number,
  secret: Uint8Array,
): void {
  const message = output.beginMessage(Backend.backendKeyData);
  output.writeInt32(processId);
  output.writeBytes(secret);
  output.endMessage(message);
}

/** We speak 3.0 whatever newer minor was asked for, and do not know any of `options`. */
export function writeNegotiateProtocolVersion(
  output: OutputBuffer,
  options: readonly string[],
): void {
  const message = output.beginMessage(Backend.negotiateProtocolVersion);
  output.writeInt32(0x0003_0000);
  output.writeInt32(options.length);
  for (const option of options) output.writeCString(option);
  output.endMessage(message);
}

export function writeParameterDescription(output: OutputBuffer, types: readonly Oid[]): void {
  const message = output.beginMessage(Backend.parameterDescription);
  output.writeInt16(types.length);
  for (const type of types) output.writeInt32(type);
  output.endMessage(message);
}

/** Larger ones are encoded every time. */
const keptDescriptionBytesMax = 4096;
/** RowDescriptions in text form, for as long as their statements live: drivers ask before every Execute. */
const keptDescriptions = new WeakMap<readonly ColumnDescription[], Uint8Array>();

/** @param formats those that rows will use, by column; none where they are not known yet. `columns` never changes. */
export function writeRowDescription(
  output: OutputBuffer,
  columns: readonly ColumnDescription[],
  formats: readonly Format[],
): void {
  const isText = formats.length === 0 || (formats.length === 1 && formats[0] === 0);
  const kept = isText ? keptDescriptions.get(columns) : undefined;
  if (kept !== undefined) {
    output.writeBytes(kept);
    return;
  }
  const start = output.length;
  encodeRowDescription(output, columns, formats);
  if (isText && output.length - start <= keptDescriptionBytesMax)
    keptDescriptions.set(columns, Uint8Array.from(output.bytes.subarray(start, output.length)));
}

function encodeRowDescription(
  output: OutputBuffer,
  columns: readonly ColumnDescription[],
  formats: readonly Format[],
): void {
  const message = output.beginMessage(Backend.rowDescription);
  output.writeInt16(columns.length);
  for (let index = 0; index < columns.length; index++) {
    const column = columns[index] as ColumnDescription;
    output.writeCString(column.name);
    output.writeInt32(column.tableOid);
    output.writeInt16(column.attributeNumber);
    output.writeInt32(column.typeOid);
    output.writeInt16(column.typeLength);
    output.writeInt32(column.typeModifier);
    output.writeInt16(formatAt(formats, index));
  }
  output.endMessage(message);
}

/** Format codes as Bind gives them: none = all text, one = for all, else one each. */
export function formatAt(formats: readonly Format[], index: number): Format {
  if (formats.length === 0) return 0;
  return (formats.length === 1 ? formats[0] : formats[index]) as Format;
}

/** CopyInResponse, CopyOutResponse: all columns in text form. */
export function writeCopyResponse(
  output: OutputBuffer,
  type: number,
  { columnCount, binary }: { readonly columnCount: number; readonly binary: boolean },
): void {
  const format = binary ? 1 : 0;
  const message = output.beginMessage(type);
  output.writeByte(format);
  output.writeInt16(columnCount);
  for (let left = columnCount; left > 0; left--) output.writeInt16(format);
  output.endMessage(message);
}

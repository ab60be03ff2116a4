/** Encodes errors and notices, and translates whatever was thrown into an error that a PostgreSQL client understands. */
import { DbError } from '@flotilla/base';
import { type Notice, SqlError } from '@flotilla/sql';
import { Backend } from './message-types.ts';
import type { OutputBuffer } from './output-buffer.ts';

export type Severity = 'ERROR' | 'FATAL';

export function writeErrorResponse(
  output: OutputBuffer,
  error: SqlError,
  severity: Severity = error.severity,
): void {
  const { fields } = error;
  const message = output.beginMessage(Backend.errorResponse);
  writeField(output, 'S', severity);
  writeField(output, 'V', severity);
  writeField(output, 'C', error.code);
  writeField(output, 'M', error.message);
  writeField(output, 'D', fields.detail);
  writeField(output, 'H', fields.hint);
  writeField(output, 'P', fields.position === undefined ? undefined : String(fields.position));
  writeField(output, 'W', fields.where);
  writeField(output, 's', fields.schema);
  writeField(output, 't', fields.table);
  writeField(output, 'c', fields.column);
  writeField(output, 'd', fields.dataType);
  writeField(output, 'n', fields.constraint);
  output.writeByte(0);
  output.endMessage(message);
}

export function writeNoticeResponse(output: OutputBuffer, notice: Notice): void {
  const message = output.beginMessage(Backend.noticeResponse);
  writeField(output, 'S', notice.severity);
  writeField(output, 'V', notice.severity);
  writeField(output, 'C', notice.code);
  writeField(output, 'M', notice.message);
  output.writeByte(0);
  output.endMessage(message);
}

function writeField(output: OutputBuffer, tag: string, value: string | undefined): void {
  if (value === undefined) return;
  output.writeByte(tag.charCodeAt(0));
  output.writeCString(value);
}

/**
 * SqlErrors pass. A storage error that the SQL layer let through gets the SQLSTATE that its outcome asks for. Anything
 * else is a defect: undefined, so that the caller logs it and answers XX000.
 */
export function toSqlError(thrown: unknown): SqlError | undefined {
  if (thrown instanceof SqlError) return thrown;
  if (thrown instanceof DbError) return new SqlError(sqlStateOf(thrown), thrown.message);
  return undefined;
}

function sqlStateOf(error: DbError): string {
  if (error.outcome === 'unknown') return '40003'; // statement_completion_unknown
  switch (error.code) {
    case 'OUTCOME_UNKNOWN':
      return '40003';
    case 'CONFLICT':
      return '40001'; // serialization_failure
    case 'DEADLOCK':
      return '40P01'; // deadlock_detected
    case 'SNAPSHOT_TOO_OLD':
      return '72000'; // snapshot_too_old
    case 'LOCK_NOT_AVAILABLE':
      return '55P03'; // lock_not_available
    case 'KEY_EXISTS':
      return '23505'; // unique_violation
    case 'TIMEOUT':
    case 'CANCELLED':
      return '57014'; // query_canceled
    case 'UNAVAILABLE':
    case 'CLOSED':
      return '57P03'; // cannot_connect_now
    case 'BUSY':
      return '53000'; // insufficient_resources
    case 'NOT_SUPPORTED':
      return '0A000';
    case 'INVALID_ARGUMENT':
      return '22023';
    case 'TOO_LARGE':
      return '54000'; // program_limit_exceeded
    case 'CORRUPTION':
      return 'XX001'; // data_corrupted
  }
}

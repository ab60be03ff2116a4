/** An error as PostgreSQL reports it: five-character SQLSTATE and the fields that clients read. */

export interface SqlErrorFields {
  readonly detail?: string;
  readonly hint?: string;
  /** 1-based character offset into the statement's source text. */
  readonly position?: number;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
  /** Of a domain's constraint: the domain. */
  readonly dataType?: string;
  /** Where in a value the error lies: PostgreSQL's CONTEXT. */
  readonly where?: string;
  readonly cause?: unknown;
}

export class SqlError extends Error {
  /** SQLSTATE, e.g. `42P01`. */
  readonly code: string;
  readonly severity: 'ERROR' | 'FATAL';
  readonly fields: SqlErrorFields;

  constructor(
    code: string,
    message: string,
    fields: SqlErrorFields = {},
    severity: 'ERROR' | 'FATAL' = 'ERROR',
  ) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'SqlError';
    this.code = code;
    this.severity = severity;
    this.fields = fields;
  }
}

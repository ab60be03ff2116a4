/**
 * What binding one statement shares: its source text for positions, its parameters' types as they become known, what its
 * names lead to, and the session's text conventions. Lives for one `prepare`.
 */
import type { NameResolver } from '../catalog/name-resolver.ts';
import { publicSchema } from '../catalog/snapshot.ts';
import type { EvalContext } from '../functions/signature.ts';
import { expressionDepthMax, parametersMax } from '../limits.ts';
import type { SourceText } from '../parse/position.ts';
import { AccessLog } from '../roles/access.ts';
import type { Notice, Oid } from '../session-api.ts';
import { SqlError, type SqlErrorFields } from '../sql-error.ts';
import { type SqlType, unknownType } from '../types/type.ts';
import type { DomainJudge } from './domain-call.ts';

export interface BindContextOptions {
  readonly source: SourceText;
  readonly parameterTypes: readonly Oid[];
  readonly evaluation: EvalContext;
  readonly names: NameResolver;
  /** How a domain judges values; called when the expression that it is for is compiled. */
  readonly judgeOf: (domain: SqlType) => DomainJudge;
  /** Users' types that are known without asking the names, by what they are printed as. */
  readonly types?: readonly SqlType[];
  /** Where what the statement needs is noted. Default: a new one. */
  readonly access?: AccessLog;
}

/** What is known of a record's fields where it is made. */
export interface RecordShape {
  readonly names: readonly string[];
  readonly types: readonly SqlType[];
}

export class BindContext {
  readonly source: SourceText;
  readonly evaluation: EvalContext;
  readonly names: NameResolver;
  readonly judgeOf: (domain: SqlType) => DomainJudge;
  /** What the statement needs to be allowed. */
  readonly access: AccessLog;
  /** Sent when the statement runs. */
  readonly notices: Notice[] = [];
  /** What a query in an expression calls its first column, by its node: the name of the output it stands in. */
  readonly subqueryNames: WeakMap<object, string> = new WeakMap();
  /** The shapes of records in the statement. The modifier of an expression of type record is an index into them, or -1. */
  readonly records: RecordShape[] = [];
  private readonly known: readonly SqlType[];
  private readonly types: SqlType[];
  private depth = 0;

  constructor(options: BindContextOptions) {
    this.source = options.source;
    this.evaluation = options.evaluation;
    this.names = options.names;
    this.judgeOf = options.judgeOf;
    this.access = options.access ?? new AccessLog();
    this.known = options.types ?? [];
    this.types = options.parameterTypes.map((oid) => {
      const type = oid === 0 ? unknownType : options.names.typeByOid(oid);
      if (type === undefined)
        throw new SqlError('0A000', `parameter type with oid ${oid} is not supported yet`);
      if (!type.supported)
        throw new SqlError('0A000', `parameter type ${type.display} is not supported yet`);
      return type;
    });
  }

  error(
    code: string,
    message: string,
    location: number | undefined,
    fields: SqlErrorFields = {},
  ): SqlError {
    const position = this.source.position(location);
    return new SqlError(code, message, position === undefined ? fields : { ...fields, position });
  }

  /** @returns the modifier of records of this shape */
  recordModifier(shape: RecordShape): number {
    const known = this.records.findIndex((one) => sameShape(one, shape));
    return known >= 0 ? known : this.records.push(shape) - 1;
  }

  /** By pg_type.typname. */
  findType(schema: string | undefined, name: string): SqlType | undefined {
    const given = this.known.find(
      (one) => one.name === name && one.schema === (schema ?? publicSchema),
    );
    return given ?? this.names.findType(schema, name);
  }

  /** @param what the construct's name, singular, as a user would call it */
  unsupported(what: string, location?: number): SqlError {
    return this.error('0A000', `${what} is not supported yet`, location);
  }

  /** Runs one level of recursion. Throws 54001 where there are too many. */
  nested<T>(run: () => T): T {
    if (++this.depth > expressionDepthMax)
      throw new SqlError('54001', 'statement is nested too deeply', {
        detail: `Expressions may be nested up to ${expressionDepthMax} levels.`,
      });
    try {
      return run();
    } finally {
      this.depth--;
    }
  }

  /** @param number from 1, as in `$1` */
  parameterType(number: number, location: number | undefined): SqlType {
    if (number < 1 || number > parametersMax)
      throw this.error('42P02', `there is no parameter $${number}`, location);
    while (this.types.length < number) this.types.push(unknownType);
    return this.types[number - 1] ?? unknownType;
  }

  /** What a use of a parameter tells of its type. Throws 42P08 where two uses disagree. */
  inferParameter(number: number, type: SqlType, location: number | undefined): void {
    const known = this.parameterType(number, location);
    if (known !== unknownType && known !== type)
      throw this.error('42P08', `inconsistent types deduced for parameter $${number}`, location, {
        detail: `${known.display} versus ${type.display}`,
      });
    this.types[number - 1] = type;
  }

  /** The types at the end. Throws 42P18 where one never became known. */
  finalParameterTypes(): readonly Oid[] {
    return this.types.map((type, index) => {
      if (type === unknownType)
        throw new SqlError('42P18', `could not determine data type of parameter $${index + 1}`);
      return type.oid;
    });
  }
}

function sameShape(a: RecordShape, b: RecordShape): boolean {
  return (
    a.names.length === b.names.length &&
    a.names.every((name, i) => name === b.names[i] && a.types[i] === b.types[i])
  );
}

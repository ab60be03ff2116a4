/** What expressions see of a session during one run of a statement. Made by the session's context, once a run. */
import type { CatalogAccess } from '../catalog/catalog-access.ts';
import { sessionNames } from '../catalog/session-names.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import type { Settings } from '../settings.ts';
import type { TextContext } from '../types/codec.ts';
import { timestampFromUnixMs } from '../types/timestamp.ts';

/** What it asks of the session's context. */
interface Evaluating {
  readonly options: { readonly database: string };
  readonly settings: Settings;
  catalogAccess(): CatalogAccess;
  clockTime(): bigint;
  setting(name: string): string | undefined;
}

/** Of one run. Most ask for none of them: they are made into timestamps when one does. */
interface Times {
  /** Of the transaction, if one is open. Microseconds since 2000. */
  readonly startedAt: bigint | undefined;
  /** Of the simple query that it came in with others, if it did. As `startedAt`. */
  readonly messageStart: bigint | undefined;
  /** Of the run itself, since 1970. */
  readonly wallMs: number;
}

const noArguments: readonly Datum[] = [];

/** What expressions see of a session during one run. */
export class SessionEvaluation implements EvalContext {
  readonly parameters: readonly Datum[];
  readonly user: string;
  readonly database: string;
  readonly zone: TextContext['zone'];
  readonly extraFloatDigits: number;
  readonly byteaOutput: 'hex' | 'escape';
  readonly dateOrder: 'MDY' | 'DMY' | 'YMD';
  readonly arguments: readonly Datum[] = noArguments;
  readonly root: EvalContext;
  subqueries: EvalContext['subqueries'];
  private readonly times: Times;
  private readonly session: Evaluating;
  private ownNames: TextContext['names'] = undefined;
  private ownCatalog: CatalogAccess | undefined = undefined;

  constructor(session: Evaluating, times: Times, parameters: readonly Datum[]) {
    const { settings, options: who } = session;
    this.session = session;
    this.times = times;
    this.root = this;
    this.subqueries = undefined;
    this.parameters = parameters;
    this.user = settings.user;
    this.database = who.database;
    this.zone = settings.zone;
    this.extraFloatDigits = settings.extraFloatDigits;
    this.byteaOutput = settings.byteaOutput;
    this.dateOrder = settings.dateOrder;
  }

  get now(): bigint {
    return this.times.startedAt ?? this.statementStart;
  }

  get statementStart(): bigint {
    return this.times.messageStart ?? timestampFromUnixMs(this.times.wallMs);
  }

  get catalog(): CatalogAccess {
    this.ownCatalog ??= this.session.catalogAccess();
    return this.ownCatalog;
  }

  get names(): TextContext['names'] {
    this.ownNames ??= sessionNames(() => this.catalog.names, this.user);
    return this.ownNames;
  }

  clockTime(): bigint {
    return this.session.clockTime();
  }

  setting(name: string): string | undefined {
    return this.session.setting(name);
  }
}

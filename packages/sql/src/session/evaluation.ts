/** What expressions see of a session during one run of a statement. Made by the session's context, once a run. */
import type { CatalogAccess } from '../catalog/catalog-access.ts';
import { sessionNames } from '../catalog/session-names.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import type { Settings } from '../settings.ts';
import type { TextContext } from '../types/codec.ts';

/** What it asks of the session's context. */
interface Evaluating {
  readonly options: { readonly database: string };
  readonly settings: Settings;
  catalogAccess(): CatalogAccess;
  clockTime(): bigint;
  setting(name: string): string | undefined;
}

const noArguments: readonly Datum[] = [];

/** What expressions see of a session during one run. */
export class SessionEvaluation implements EvalContext {
  readonly parameters: readonly Datum[];
  readonly user: string;
  readonly database: string;
  readonly now: bigint;
  readonly statementStart: bigint;
  readonly zone: TextContext['zone'];
  readonly extraFloatDigits: number;
  readonly byteaOutput: 'hex' | 'escape';
  readonly dateOrder: 'MDY' | 'DMY' | 'YMD';
  readonly arguments: readonly Datum[] = noArguments;
  readonly root: EvalContext;
  subqueries: EvalContext['subqueries'];
  private readonly session: Evaluating;
  private ownNames: TextContext['names'] = undefined;
  private ownCatalog: CatalogAccess | undefined = undefined;

  constructor(
    session: Evaluating,
    times: { readonly now: bigint; readonly statementStart: bigint },
    parameters: readonly Datum[],
  ) {
    const { settings, options: who } = session;
    this.session = session;
    this.root = this;
    this.subqueries = undefined;
    this.parameters = parameters;
    this.user = settings.user;
    this.database = who.database;
    this.now = times.now;
    this.statementStart = times.statementStart;
    this.zone = settings.zone;
    this.extraFloatDigits = settings.extraFloatDigits;
    this.byteaOutput = settings.byteaOutput;
    this.dateOrder = settings.dateOrder;
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

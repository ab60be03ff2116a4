/** Runs statements that are no queries: settings, DDL, and those that have nothing to do. */
import { assertNever, type Clock, type Prng } from '@flotilla/base';
import type { BoundUtility, TransactionModes } from '../bind/bound.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { SessionCursors } from '../cursors/session-cursors.ts';
import { ddlTag } from '../ddl/ddl-tag.ts';
import { type DdlOptions, runDdl } from '../ddl/run-ddl.ts';
import type { SessionNotifications } from '../notifications/session-notifications.ts';
import type {
  ColumnDescription,
  NamedStatements,
  Notice,
  StatementResult,
} from '../session-api.ts';
import { type SettingChange, type Settings, settingNames } from '../settings.ts';
import { SqlError } from '../sql-error.ts';
import type { SessionTransaction, TransactionControl } from '../transaction/session-transaction.ts';
import { analyze } from './analyze.ts';
import { emptyResult, listResult } from './result.ts';
import { checkBecoming } from './set-role.ts';

export interface UtilityOptions extends DdlOptions {
  readonly settings: Settings;
  /** For the samples of ANALYZE. */
  readonly prng: Prng;
  readonly clock: Clock;
  readonly transaction: SessionTransaction;
  readonly statements: NamedStatements;
  readonly cursors: SessionCursors;
  readonly notifications: SessionNotifications;
  readonly columns: readonly ColumnDescription[] | undefined;
  readonly onSettingChange: (change: SettingChange) => void;
  /** Drops all temporary objects of the session. Throws DbError. */
  readonly discardTemporary: () => Promise<void>;
}

export async function runUtility(
  plan: Exclude<BoundUtility, TransactionControl | { kind: 'prepare' | 'set-constraints' }>,
  options: UtilityOptions,
): Promise<StatementResult> {
  switch (plan.kind) {
    case 'ddl':
      if ('CreatedbStmt' in plan.tree || 'DropdbStmt' in plan.tree)
        options.transaction.requireNoBlock(ddlTag(plan.tree));
      return emptyResult(await runDdl(plan.tree, options));
    case 'set':
      return runSet(plan, options);
    case 'reset-all':
      for (const change of options.settings.resetAll()) options.onSettingChange(change);
      return emptyResult('RESET');
    case 'listen':
      options.notifications.listen(plan.channel);
      return emptyResult('LISTEN');
    case 'unlisten':
      options.notifications.unlisten(plan.channel);
      return emptyResult('UNLISTEN');
    case 'notify':
      options.notifications.notify(plan.channel, plan.payload);
      return emptyResult('NOTIFY');
    case 'discard':
      if (plan.what === 'PLANS') return emptyResult('DISCARD PLANS');
      if (plan.what === 'TEMP') {
        options.transaction.requireNoBlock('DISCARD TEMP');
        await options.discardTemporary();
        return emptyResult('DISCARD TEMP');
      }
      options.transaction.requireNoBlock('DISCARD ALL');
      await options.cursors.closeAll();
      options.notifications.unlisten(undefined);
      await options.evaluation.catalog?.backend.advisory.unlockAll();
      options.statements.clear();
      await options.discardTemporary();
      for (const change of options.settings.resetAll()) options.onSettingChange(change);
      return emptyResult('DISCARD ALL');
    case 'deallocate':
      if (plan.name === undefined) {
        options.statements.clear();
        return emptyResult('DEALLOCATE ALL');
      }
      options.statements.get(plan.name); // throws 26000
      options.statements.delete(plan.name);
      return emptyResult('DEALLOCATE');
    case 'show': {
      if (plan.name === 'all') {
        const rows = settingNames().map((name) => [
          name,
          options.evaluation.setting(name) ?? '',
          '',
        ]);
        return listResult(options.columns ?? [], rows, 'SHOW', true);
      }
      const value = options.evaluation.setting(plan.name);
      if (value === undefined)
        throw new SqlError('42704', `unrecognized configuration parameter "${plan.name}"`);
      return listResult(options.columns ?? [], [[value]], 'SHOW', true);
    }
    case 'analyze': {
      if (plan.tag === 'VACUUM') options.transaction.requireNoBlock(plan.tag);
      const all = plan.tables ?? options.catalog.snapshot.tables();
      for (const table of all) {
        if (!mayTend(table, options)) {
          if (plan.tables !== undefined) options.onNotice(skipped(table, plan.tag));
          continue;
        }
        await analyze(table, { ...options, catalog: options.catalog.cluster });
      }
      return emptyResult(plan.tag);
    }
    default:
      return assertNever(plan);
  }
}

/** Of a table, or of the database that it lies in, he must be the owner. */
function mayTend({ owner }: TableDescriptor, { catalog, evaluation }: UtilityOptions): boolean {
  const authority = evaluation.catalog?.authority;
  return authority?.has(owner) === true || authority?.has(catalog.snapshot.database.owner) === true;
}

function skipped({ name }: TableDescriptor, tag: string): Notice {
  const verb = tag.toLowerCase();
  const message = `skipping "${name}" --- only table or database owner can ${verb} it`;
  return { severity: 'WARNING', code: '01000', message };
}

function runSet(
  plan: Extract<BoundUtility, { kind: 'set' }>,
  options: UtilityOptions,
): StatementResult {
  const { settings, transaction } = options;
  const tag = plan.reset ? 'RESET' : 'SET';
  const mode = transactionMode(plan.name, plan.value, settings);
  if (mode !== undefined) {
    transaction.setTransaction(mode, true);
    return emptyResult(tag);
  }
  if (plan.local && !transaction.warnUnlessInBlock('SET LOCAL')) {
    if (plan.value !== undefined) settings.check(plan.name, plan.value);
    return emptyResult(tag);
  }
  const { catalog } = options.evaluation;
  if (catalog !== undefined)
    checkBecoming(plan, settings, catalog.names.snapshot, catalog.authority.trusted);
  const changes = settings.set(plan.name, plan.value, plan.local);
  // A session that becomes somebody else begins without a role.
  if (plan.name.toLowerCase() === 'session_authorization')
    changes.push(...settings.set('role', 'none', plan.local));
  for (const change of changes) options.onSettingChange(change);
  return emptyResult(tag);
}

/** SET transaction_isolation is SET TRANSACTION ISOLATION LEVEL. Undefined for other settings. Throws 22023. */
function transactionMode(
  name: string,
  value: string | undefined,
  settings: Settings,
): TransactionModes | undefined {
  const key = name.toLowerCase();
  if (!key.startsWith('transaction_')) return undefined;
  const text =
    value === undefined ? (settings.get(`default_${key}`) ?? '') : settings.check(key, value);
  switch (key) {
    case 'transaction_isolation':
      return { isolation: text };
    case 'transaction_read_only':
      return { readOnly: text === 'on' };
    case 'transaction_deferrable':
      return { deferrable: text === 'on' };
    default:
      return undefined;
  }
}

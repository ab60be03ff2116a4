/**
 * Storage parameters of a table or a database that its ranges obey: `WITH (…)`, `SET (…)`, `RESET (…)`. They are kept in
 * descriptors; the cluster is told after the change has committed, for the spans of keys that are theirs then.
 */
import { DbError, type Logger } from '@flotilla/base';
import type { DefElem, Node } from 'libpg-query';
import type { CatalogEditor } from '../catalog/editor.ts';
import type { ClusterInspector, SpanConfiguration } from '../cluster/cluster-inspector.ts';
import type { Notice } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { rangeChanges } from './range-changes.ts';

const names = ['replicas', 'split_bytes', 'gc_ttl', 'lease_preference'] as const;

/** @returns SqlError 22023 with the names that there are; `gc_ttl` is known only to be refused */
export function unknownParameter(name: string): SqlError {
  return new SqlError('22023', `unrecognized parameter "${name}"`, {
    hint: 'Parameters of ranges are replicas, split_bytes and lease_preference.',
  });
}

type RangeParameter = (typeof names)[number];

const unitBytes = new Map([
  ['', 1],
  ['B', 1],
  ['kB', 2 ** 10],
  ['MB', 2 ** 20],
  ['GB', 2 ** 30],
]);

export function isRangeParameter(name: string): name is RangeParameter {
  return names.some((one) => one === name);
}

/** With what `SET` or `WITH` says. Other parameters are passed over. Throws SqlError 22023. */
export function setRangeParameters(
  before: SpanConfiguration | undefined,
  options: readonly Node[],
): SpanConfiguration | undefined {
  let after = before;
  for (const option of options) {
    if (!('DefElem' in option)) continue;
    const { defname = '', arg } = option.DefElem;
    if (isRangeParameter(defname)) after = { ...after, ...wish(defname, textOf(defname, arg)) };
  }
  return after;
}

/** Without what `RESET` names. @returns undefined: nothing is left of it */
export function resetRangeParameters(
  before: SpanConfiguration | undefined,
  options: readonly Node[],
): SpanConfiguration | undefined {
  const named = new Set(options.map((node) => ('DefElem' in node ? node.DefElem.defname : '')));
  const { replicas, splitBytes, leasePreference } = before ?? {};
  const left: SpanConfiguration = {
    ...(replicas !== undefined && !named.has('replicas') && { replicas }),
    ...(splitBytes !== undefined && !named.has('split_bytes') && { splitBytes }),
    ...(leasePreference !== undefined && !named.has('lease_preference') && { leasePreference }),
  };
  return Object.keys(left).length === 0 ? undefined : left;
}

/**
 * Tells the cluster, once the editor's changes have committed. A failure is a warning: the parameters are kept, and the next
 * statement that sets one of them tells the cluster again.
 */
export async function configureRanges(
  editor: CatalogEditor,
  {
    cluster,
    logger,
    onNotice,
  }: {
    readonly cluster: ClusterInspector | undefined;
    readonly logger: Logger;
    readonly onNotice: (notice: Notice) => void;
  },
): Promise<void> {
  for (const { whose, span, ranges } of rangeChanges(editor)) {
    try {
      await cluster?.configure(span, ranges ?? {});
    } catch (error) {
      if (!(error instanceof DbError)) throw error;
      logger.warn({ whose, code: error.code, error: error.message }, 'ranges_not_configured');
      onNotice({
        severity: 'WARNING',
        code: '01000',
        message: `the ranges of ${whose} do not obey its storage parameters; set one of them again: ${error.message}`,
      });
    }
  }
}

function textOf(name: RangeParameter, arg: DefElem['arg']): string {
  if (arg === undefined) throw new SqlError('22023', `parameter "${name}" needs a value`);
  if ('Integer' in arg) return String(arg.Integer.ival ?? 0);
  if ('Float' in arg) return arg.Float.fval ?? '';
  if ('String' in arg) return arg.String.sval ?? '';
  if ('TypeName' in arg) {
    const last = arg.TypeName.names?.at(-1);
    if (last !== undefined && 'String' in last) return last.String.sval ?? '';
  }
  throw new SqlError('22023', `invalid value for parameter "${name}"`);
}

function wish(name: RangeParameter, text: string): SpanConfiguration {
  switch (name) {
    case 'replicas': {
      const replicas = Number(text);
      if ([1, 3, 5, 7].includes(replicas)) return { replicas };
      throw invalid(name, text, 'A range has 1, 3, 5 or 7 replicas.');
    }
    case 'split_bytes': {
      const [, digits = '', unit = ''] = /^(\d{1,15}) ?([a-zA-Z]*)$/.exec(text) ?? [];
      const splitBytes = Number(digits) * (unitBytes.get(unit) ?? Number.NaN);
      if (Number.isSafeInteger(splitBytes) && splitBytes >= 65_536) return { splitBytes };
      throw invalid(name, text, 'Ranges are cut at 64kB or more. Units are "B", "kB", "MB", "GB".');
    }
    case 'gc_ttl':
      throw new SqlError('0A000', 'parameter "gc_ttl" is not supported', {
        hint: 'Old versions are kept for as long everywhere: the setting gc-ttl of the stores.',
      });
    case 'lease_preference':
      if (/^[\x21-\x7e]{1,128}$/.test(text)) return { leasePreference: text };
      throw invalid(name, text, 'A zone is a name of 1 to 128 printable characters.');
  }
}

function invalid(name: RangeParameter, text: string, hint: string): SqlError {
  return new SqlError('22023', `invalid value for parameter "${name}": "${text}"`, { hint });
}

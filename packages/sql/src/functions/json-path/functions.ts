/**
 * The functions and operators over SQL/JSON paths: `jsonb_path_…` with variables and `silent`, their `_tz` twins that may use
 * the session's time zone, `@?` and `@@`.
 */
import type { Datum } from '../../session-api.ts';
import { SqlError } from '../../sql-error.ts';
import type { TextContext } from '../../types/codec.ts';
import { formatJsonb, JsonObject, readJsonb } from '../../types/json.ts';
import { readJsonPath } from '../../types/json-path/codec.ts';
import { boolType, jsonbType, jsonPathType, type SqlType, textType } from '../../types/type.ts';
import { type SetSignature, setFunction } from '../set-returning.ts';
import {
  type EvalContext,
  manySignature,
  type Signature,
  signature,
  unsupportedSignature,
} from '../signature.ts';
import { PathEvaluator, type PathRun } from './evaluator.ts';
import { jsonOfItem, type PathItem } from './items.ts';

const noVariables: JsonObject = new JsonObject([]);

/** Throws 22023. */
function variablesOf(datum: Datum | undefined): JsonObject {
  if (datum === undefined || datum === null) return noVariables;
  const value = readJsonb(datum as string);
  if (value instanceof JsonObject) return value;
  throw new SqlError('22023', '"vars" argument is not an object', {
    detail: 'Jsonpath parameters should be encoded as key-value pairs of "vars" object.',
  });
}

/** A run for the arguments of a function: document, path, variables, silent. */
function runOf(values: readonly Datum[], zoned: TextContext | undefined): PathRun {
  const [document = null, path = null, variables, silent = false] = values;
  return {
    path: readJsonPath(path as string),
    document: readJsonb(document as string),
    variables: variablesOf(variables),
    silent: silent === true,
    zoned,
  };
}

function exists(run: PathRun): Datum {
  const outcome = new PathEvaluator(run).exists();
  return outcome === 'failed' ? null : outcome === 'some';
}

/** Throws 22038. */
function match(run: PathRun): Datum {
  const items = new PathEvaluator(run).items();
  const [only] = items;
  if (items.length === 1 && (only === null || typeof only === 'boolean')) return only;
  if (run.silent) return null;
  throw new SqlError('22038', 'single boolean result is expected');
}

function printed(item: PathItem): string {
  return formatJsonb(jsonOfItem(item));
}

function queryArray(run: PathRun): Datum {
  return formatJsonb(new PathEvaluator(run).items().map(jsonOfItem));
}

function queryFirst(run: PathRun): Datum {
  const [first] = new PathEvaluator(run).items();
  return first === undefined ? null : printed(first);
}

/** The forms of a function: variables and `silent` may be left out. */
const forms: readonly (readonly SqlType[])[] = [
  [jsonbType, jsonPathType],
  [jsonbType, jsonPathType, jsonbType],
  [jsonbType, jsonPathType, jsonbType, boolType],
];

const answers: readonly (readonly [string, SqlType, (run: PathRun) => Datum])[] = [
  ['jsonb_path_exists', boolType, exists],
  ['jsonb_path_match', boolType, match],
  ['jsonb_path_query_array', jsonbType, queryArray],
  ['jsonb_path_query_first', jsonbType, queryFirst],
];

export const jsonPathFunctions: readonly Signature[] = answers.flatMap(([name, result, answer]) =>
  forms.flatMap((parameters) => [
    manySignature(name, parameters, result, (values) => answer(runOf(values, undefined))),
    manySignature(
      `${name}_tz`,
      parameters,
      result,
      (values, context) => answer(runOf(values, context)),
      { volatility: 'stable' },
    ),
  ]),
);

function* queried(values: readonly Datum[], context: EvalContext | undefined): Iterable<[Datum]> {
  for (const item of new PathEvaluator(runOf(values, context)).items()) yield [printed(item)];
}

export const jsonPathSetFunctions: readonly SetSignature[] = forms.flatMap((parameters) => [
  setFunction('jsonb_path_query', parameters, jsonbType, (values) => queried(values, undefined)),
  setFunction('jsonb_path_query_tz', parameters, jsonbType, queried),
]);

/** Errors are silent, and there are no variables. */
function operatorRun(document: Datum, path: Datum): PathRun {
  return {
    path: readJsonPath(path as string),
    document: readJsonb(document as string),
    variables: undefined,
    silent: true,
    zoned: undefined,
  };
}

export const jsonPathOperators: readonly Signature[] = [
  signature('@?', [jsonbType, jsonPathType], boolType, (a, b) => exists(operatorRun(a, b))),
  signature('@@', [jsonbType, jsonPathType], boolType, (a, b) => match(operatorRun(a, b))),
  // Text search: what two untyped operands mean.
  unsupportedSignature('@@', [textType, textType], boolType),
];

/**
 * A program: what a scan or a get is to make of rows, in bytes. A fixed part, the same for every run of a plan, so that a store
 * compiles it once: where the columns are, a filter, and what goes out; and beside it the values of one run. The format has
 * a version: whoever knows another one refuses, and is asked for rows. It rises with any change of what a program means,
 * also where that lies in a function that it names.
 *
 *   u8 version, u32 length, fixed part (JSON), u32 limit (0 = none), u32 length, parameters (a row), filter of keys
 */
import { asBuffer } from '@flotilla/base';
import type { RowForm } from '../../types/codec.ts';
import { type Json, UnknownProgram } from './expression-text.ts';

export const programVersion = 1;

/** The form of a value in a row: a type that programs know, or how long it is: `own` has its length in front. */
export type FormText = number | 'small' | 'big' | 'float' | 'text' | 'bool' | 'int64' | 'own';

/** Places count the program's row; -1: not in it. */
export interface ProgramText {
  readonly source:
    | {
        readonly kind: 'rows';
        readonly prefix: number;
        readonly key: readonly (readonly [place: number, type: number])[];
        readonly stored: readonly (readonly [
          place: number,
          form: FormText,
          missing: string | null,
        ])[];
      }
    | {
        readonly kind: 'entries';
        readonly prefix: number;
        readonly parts: readonly (readonly [
          place: number,
          type: number,
          descending: boolean,
          nullsFirst: boolean,
        ])[];
        /** In the value: the row's key. */
        readonly key: readonly (readonly [place: number, type: number])[];
      };
  readonly width: number;
  readonly parameters: readonly number[];
  readonly filter: Json;
  readonly output:
    | {
        readonly kind: 'columns';
        readonly columns: readonly (readonly [place: number, form: FormText])[];
        /** Behind them, of a get: which of its keys the row is of. */
        readonly positions?: true;
      }
    /** Of entries: the keys of their rows. */
    | { readonly kind: 'keys' }
    | {
        readonly kind: 'groups';
        readonly keys: readonly Json[];
        readonly aggregates: readonly {
          readonly name: string;
          readonly arguments: readonly Json[];
          readonly filter: Json;
        }[];
      }
    /** Some of the rows, as they are stored. */
    | { readonly kind: 'sample'; readonly rows: number; readonly seed: number }
    /** Of a write: the row's new value. */
    | {
        readonly kind: 'row';
        /** Null: the row goes. */
        readonly stored: readonly (readonly [place: number, form: FormText])[] | null;
        /** Of the row as it was. */
        readonly assignments: readonly (readonly [place: number, value: Json])[];
        /** Of the row with the assignments. */
        readonly generated: readonly (readonly [place: number, value: Json])[];
        readonly notNull: readonly number[];
        readonly checks: readonly Json[];
      };
  /** What the filter of keys is about, and the types that its keys had; empty: there is none. */
  readonly probe: readonly Json[];
  readonly against: readonly number[];
}

/** The largest program that is sent. Unit: bytes. */
export const programBytesMax: number = 256 * 1024;

/** How a store reads a column that nothing in the program computes with: as bytes that pass through. */
export function passingForm(form: RowForm): FormText {
  return typeof form === 'object' ? 'own' : form;
}

export interface ProgramRun {
  readonly fixed: Buffer;
  /** 0 = none. */
  readonly limit: number;
  readonly parameters: Uint8Array;
  /** Empty: none. */
  readonly keys: Uint8Array;
}

export function encodeProgram({ fixed, limit, parameters, keys }: ProgramRun): Uint8Array {
  const head = Buffer.alloc(5);
  head[0] = programVersion;
  head.writeUInt32BE(fixed.length, 1);
  const run = Buffer.alloc(8);
  run.writeUInt32BE(Math.min(limit, 0xffff_ffff), 0);
  run.writeUInt32BE(parameters.length, 4);
  return Buffer.concat([head, fixed, run, parameters, keys]);
}

/** @throws UnknownProgram */
export function decodeProgram(bytes: Uint8Array): ProgramRun {
  const program = asBuffer(bytes);
  if (program.length < 13 || program[0] !== programVersion) throw new UnknownProgram('version');
  const fixedEnd = 5 + program.readUInt32BE(1);
  if (fixedEnd + 8 > program.length) throw new UnknownProgram('length');
  const parametersEnd = fixedEnd + 8 + program.readUInt32BE(fixedEnd + 4);
  if (parametersEnd > program.length) throw new UnknownProgram('length');
  return {
    fixed: program.subarray(5, fixedEnd),
    limit: program.readUInt32BE(fixedEnd),
    parameters: program.subarray(fixedEnd + 8, parametersEnd),
    keys: program.subarray(parametersEnd),
  };
}

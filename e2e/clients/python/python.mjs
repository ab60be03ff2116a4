/** Python's drivers as Debian packages them, each with a program of its own beside this file. */
import { join } from 'node:path';

/** Debian's own interpreter: it sees Debian's packages. */
const interpreter = '/usr/bin/python3';

async function driver(world, name) {
  await world.checksOf(name, interpreter, ['-B', join(import.meta.dirname, `${name}_checks.py`)]);
}

export const psycopg2 = (world) => driver(world, 'psycopg2');
export const psycopg3 = (world) => driver(world, 'psycopg3');
export const asyncpg = (world) => driver(world, 'asyncpg');

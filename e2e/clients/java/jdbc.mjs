/** pgjdbc as Debian packages it, by a program of one file that Java compiles when it starts. */
import { join } from 'node:path';

export async function jdbc(world) {
  await world.checksOf('jdbc', 'java', [
    '-cp',
    '/usr/share/java/postgresql.jar',
    join(import.meta.dirname, 'Jdbc.java'),
  ]);
}

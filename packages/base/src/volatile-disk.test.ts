import { describe, it } from 'vitest';
import { diskCases } from './testing/disk-suite.ts';
import { VolatileDisk } from './volatile-disk.ts';

describe('VolatileDisk conforms', () => {
  for (const { title, run } of diskCases) it(title, () => run(new VolatileDisk(), 'data'));
});

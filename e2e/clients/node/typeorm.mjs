/** TypeORM: `synchronize` by introspection, migrations, repositories with relations, transactions. */
import { expectEqual, refusal } from '../frame.mjs';

export async function typeorm(world) {
  world.load('reflect-metadata');
  const { DataSource, EntitySchema, In } = world.load('typeorm');
  const { user: username, ...where } = world.where;
  const entities = entitiesOf(EntitySchema);
  const source = new DataSource({
    ...where,
    ...{ type: 'postgres', username, entities, migrations: migrations() },
    ...{ migrationsTableName: 'm_orm_migrations' },
  });
  await source.initialize();
  try {
    await world.check('typeorm', 'synchronize, then nothing is left to change', async () => {
      await source.query(
        'drop table if exists m_orm_migrations, m_orm_extra, m_orm_book_tags, m_orm_books, m_orm_tags, m_orm_authors cascade',
      );
      await source.query('drop type if exists m_orm_books_kind_enum');
      await source.synchronize();
      const { upQueries } = await source.driver.createSchemaBuilder().log();
      expectEqual(
        upQueries.map(({ query }) => query),
        [],
      );
    });
    await world.check('typeorm', 'migrations run and revert', async () => {
      expectEqual((await source.runMigrations()).length, 1);
      expectEqual((await source.runMigrations()).length, 0);
      await source.undoLastMigration();
      expectEqual(await source.query("select to_regclass('m_orm_extra') found"), [{ found: null }]);
    });
    await world.check('typeorm', 'CRUD, relations', async () => {
      const authors = source.getRepository('m_orm_authors');
      const books = source.getRepository('m_orm_books');
      const tags = await source
        .getRepository('m_orm_tags')
        .save([{ name: 'sea' }, { name: 'ship' }]);
      await authors.save({
        name: 'Ann',
        books: [
          { title: 'One', kind: 'poem', price: '1.50', tags, labels: ['a'], data: { n: 1 } },
          { title: 'Two', kind: 'novel', price: '2.50', tags: [tags[0]] },
        ],
      });
      const found = await authors.findOne({
        where: { name: 'Ann' },
        relations: { books: { tags: true } },
        order: { books: { title: 'ASC', tags: { name: 'ASC' } } },
      });
      expectEqual(
        found.books.map((book) => [
          book.title,
          book.kind,
          book.price,
          book.tags.map((t) => t.name),
        ]),
        [
          ['One', 'poem', '1.50', ['sea', 'ship']],
          ['Two', 'novel', '2.50', ['sea']],
        ],
      );
      expectEqual([found.books[0].labels, found.books[0].data], [['a'], { n: 1 }]);
      const [page, total] = await books.findAndCount({
        relations: { author: true },
        order: { title: 'DESC' },
        take: 1,
      });
      expectEqual([page[0].title, page[0].author.name, total], ['Two', 'Ann', 2]);
      await authors.upsert({ name: 'Ann', note: 'again' }, ['name']);
      expectEqual((await authors.findOneBy({ name: 'Ann' })).note, 'again');
      const sums = await books
        .createQueryBuilder('b')
        .innerJoin('b.author', 'a')
        .select('a.name', 'name')
        .addSelect('sum(b.price)', 'sum')
        .groupBy('a.name')
        .getRawMany();
      expectEqual(sums, [{ name: 'Ann', sum: '4.00' }]);
      expectEqual((await books.delete({ title: In(['Two', 'Three']) })).affected, 1);
      const refused = await refusal(authors.insert({ name: 'Ann' }));
      expectEqual(refused.driverError.code, '23505');
    });
    await world.check('typeorm', 'transactions, locks', async () => {
      await source.transaction('SERIALIZABLE', async (manager) => {
        const locked = await manager.findOne('m_orm_authors', {
          where: { name: 'Ann' },
          lock: { mode: 'pessimistic_write' },
        });
        await manager.save('m_orm_authors', { ...locked, note: 'kept' });
        await refusal(
          manager.transaction(async (inner) => {
            await inner.delete('m_orm_books', { title: 'One' });
            throw new Error('undone');
          }),
        );
      });
      const rows = await source.query(
        'select note, (select count(*)::int from m_orm_books) n from m_orm_authors',
      );
      expectEqual(rows, [{ note: 'kept', n: 1 }]);
    });
  } finally {
    await source.destroy();
  }
}

function entitiesOf(EntitySchema) {
  const authors = new EntitySchema({
    name: 'm_orm_authors',
    columns: {
      id: { type: Number, primary: true, generated: 'increment' },
      name: { type: String, unique: true },
      note: { type: 'varchar', length: 40, nullable: true },
      at: { type: 'timestamptz', createDate: true },
      changed: { type: 'timestamptz', updateDate: true },
    },
    relations: {
      books: { type: 'one-to-many', target: 'm_orm_books', inverseSide: 'author', cascade: true },
    },
  });
  const books = new EntitySchema({
    name: 'm_orm_books',
    columns: {
      id: { type: 'uuid', primary: true, generated: 'uuid' },
      title: { type: 'text' },
      kind: { type: 'enum', enum: ['novel', 'poem'], default: 'novel' },
      price: { type: 'numeric', precision: 8, scale: 2, default: 0 },
      labels: { type: 'text', array: true, default: [] },
      data: { type: 'jsonb', nullable: true },
    },
    indices: [{ name: 'm_orm_books_title', columns: ['title', 'kind'] }],
    checks: [{ expression: '"price" >= 0' }],
    relations: {
      author: {
        ...{ type: 'many-to-one', target: 'm_orm_authors', inverseSide: 'books' },
        onDelete: 'CASCADE',
      },
      tags: { type: 'many-to-many', target: 'm_orm_tags', joinTable: { name: 'm_orm_book_tags' } },
    },
  });
  const tags = new EntitySchema({
    name: 'm_orm_tags',
    columns: {
      id: { type: 'bigint', primary: true, generated: 'identity' },
      name: { type: String },
    },
  });
  return [authors, books, tags];
}

function migrations() {
  return [
    class Extra1700000000000 {
      name = 'Extra1700000000000';
      async up(runner) {
        await runner.query('create table m_orm_extra (id int primary key, name varchar not null)');
        await runner.query('create index on m_orm_extra (name)');
      }
      async down(runner) {
        await runner.query('drop table m_orm_extra');
      }
    },
  ];
}

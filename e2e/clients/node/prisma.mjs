/**
 * Prisma's client over its adapter for node-postgres. The client is generated here: its query compiler is WebAssembly in the
 * package. Prisma's migration engine is a program that only Prisma's own server gives out, so the schema is made by the SQL that
 * `prisma migrate` writes for it.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectEqual, refusal } from '../frame.mjs';

const model = `
generator client {
  provider = "prisma-client-js"
  output   = "./client"
}
datasource db {
  provider = "postgresql"
}
enum Mood {
  happy
  sad
  @@map("m_prisma_mood")
}
model User {
  id    Int      @id @default(autoincrement())
  email String   @unique @db.VarChar(60)
  mood  Mood     @default(happy)
  tags  String[]
  data  Json?
  big   BigInt?
  rate  Decimal? @db.Decimal(8, 2)
  raw   Bytes?
  made  DateTime @default(now()) @db.Timestamptz(3)
  posts Post[]
  @@map("m_prisma_users")
}
model Post {
  id       String  @id @default(uuid()) @db.Uuid
  title    String
  views    Int     @default(0)
  author   User    @relation(fields: [authorId], references: [id], onDelete: Cascade)
  authorId Int     @map("author_id")
  labels   Label[]
  @@index([authorId, title])
  @@map("m_prisma_posts")
}
model Label {
  id    Int    @id @default(autoincrement())
  name  String @unique
  posts Post[]
  @@map("m_prisma_labels")
}
`;

const migration = `
drop table if exists "_LabelToPost", m_prisma_posts, m_prisma_labels, m_prisma_users;
drop type if exists m_prisma_mood;
CREATE TYPE "m_prisma_mood" AS ENUM ('happy', 'sad');
CREATE TABLE "m_prisma_users" (
    "id" SERIAL NOT NULL,
    "email" VARCHAR(60) NOT NULL,
    "mood" "m_prisma_mood" NOT NULL DEFAULT 'happy',
    "tags" TEXT[],
    "data" JSONB,
    "big" BIGINT,
    "rate" DECIMAL(8,2),
    "raw" BYTEA,
    "made" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "m_prisma_users_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "m_prisma_posts" (
    "id" UUID NOT NULL,
    "title" TEXT NOT NULL,
    "views" INTEGER NOT NULL DEFAULT 0,
    "author_id" INTEGER NOT NULL,
    CONSTRAINT "m_prisma_posts_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "m_prisma_labels" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    CONSTRAINT "m_prisma_labels_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "_LabelToPost" (
    "A" INTEGER NOT NULL,
    "B" UUID NOT NULL,
    CONSTRAINT "_LabelToPost_AB_pkey" PRIMARY KEY ("A","B")
);
CREATE UNIQUE INDEX "m_prisma_users_email_key" ON "m_prisma_users"("email");
CREATE INDEX "m_prisma_posts_author_id_title_idx" ON "m_prisma_posts"("author_id", "title");
CREATE UNIQUE INDEX "m_prisma_labels_name_key" ON "m_prisma_labels"("name");
CREATE INDEX "_LabelToPost_B_index" ON "_LabelToPost"("B");
ALTER TABLE "m_prisma_posts" ADD CONSTRAINT "m_prisma_posts_author_id_fkey" FOREIGN KEY ("author_id") REFERENCES "m_prisma_users"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "_LabelToPost" ADD CONSTRAINT "_LabelToPost_A_fkey" FOREIGN KEY ("A") REFERENCES "m_prisma_labels"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "_LabelToPost" ADD CONSTRAINT "_LabelToPost_B_fkey" FOREIGN KEY ("B") REFERENCES "m_prisma_posts"("id") ON DELETE CASCADE ON UPDATE CASCADE;
`;

function generate(world) {
  const directory = join(world.scratch, 'prisma-model');
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'schema.prisma'), model);
  execFileSync(
    process.execPath,
    [
      join(world.scratch, 'node_modules/prisma/build/index.js'),
      'generate',
      '--schema',
      'schema.prisma',
    ],
    // Without this it looks for its migration engine, which nothing here uses.
    {
      cwd: directory,
      env: { ...world.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true' },
      stdio: 'pipe',
      timeout: 120_000,
    },
  );
  return world.load('./prisma-model/client/index.js');
}

export async function prisma(world) {
  let client;
  await world.check('prisma', 'generate', () => {
    const { PrismaClient } = generate(world);
    const { PrismaPg } = world.load('@prisma/adapter-pg');
    client = new PrismaClient({ adapter: new PrismaPg({ ...world.where, max: 3 }) });
  });
  if (client === undefined) return;
  await world.check('prisma', 'SQL of a migration', async () => {
    const { Client } = world.load('pg');
    const connection = new Client(world.where);
    await connection.connect();
    await connection.query(migration);
    await connection.end();
  });
  await world.check('prisma', 'CRUD, types', async () => {
    const made = await client.user.create({
      data: {
        ...{ email: 'ann@x', mood: 'sad', tags: ['a', 'b'], data: { k: [1] }, big: 2n ** 40n },
        ...{ rate: '12.50', raw: Buffer.from([0, 255]) },
      },
    });
    const found = await client.user.findUniqueOrThrow({ where: { email: 'ann@x' } });
    expectEqual(
      [found.mood, found.tags, found.data, String(found.big), String(found.rate), [...found.raw]],
      ['sad', ['a', 'b'], { k: [1] }, '1099511627776', '12.5', [0, 255]],
    );
    expectEqual(found.made.getTime(), made.made.getTime());
    await client.user.upsert({
      where: { email: 'ann@x' },
      create: { email: 'ann@x' },
      update: { mood: 'happy', tags: { push: 'c' } },
    });
    const many = await client.user.createMany({
      data: [{ email: 'bob@x' }, { email: 'ann@x' }],
      skipDuplicates: true,
    });
    expectEqual(many.count, 1);
    const matched = await client.user.findMany({
      where: { OR: [{ email: { contains: 'ANN', mode: 'insensitive' } }, { tags: { has: 'z' } }] },
      select: { email: true, mood: true, tags: true },
    });
    expectEqual(matched, [{ email: 'ann@x', mood: 'happy', tags: ['a', 'b', 'c'] }]);
    expectEqual((await refusal(client.user.create({ data: { email: 'ann@x' } }))).code, 'P2002');
  });
  await world.check('prisma', 'relations, aggregates', async () => {
    await client.user.update({
      where: { email: 'ann@x' },
      data: {
        posts: {
          create: [
            { title: 'one', views: 3, labels: { create: { name: 'sea' } } },
            {
              title: 'two',
              views: 5,
              labels: { connectOrCreate: { where: { name: 'sea' }, create: { name: 'sea' } } },
            },
          ],
        },
      },
    });
    const found = await client.user.findMany({
      where: { posts: { some: { labels: { some: { name: 'sea' } } } } },
      select: {
        email: true,
        posts: {
          select: { title: true, labels: { select: { name: true } } },
          orderBy: { title: 'asc' },
        },
        _count: { select: { posts: true } },
      },
    });
    expectEqual(found, [
      {
        email: 'ann@x',
        posts: [
          { title: 'one', labels: [{ name: 'sea' }] },
          { title: 'two', labels: [{ name: 'sea' }] },
        ],
        _count: { posts: 2 },
      },
    ]);
    const sums = await client.post.groupBy({
      by: ['authorId'],
      _sum: { views: true },
      _max: { title: true },
    });
    expectEqual([sums[0]._sum, sums[0]._max], [{ views: 8 }, { title: 'two' }]);
    const page = await client.post.findMany({
      orderBy: { views: 'desc' },
      skip: 1,
      take: 1,
      include: { author: true },
    });
    expectEqual([page[0].title, page[0].author.email], ['one', 'ann@x']);
  });
  await world.check('prisma', 'transactions', async () => {
    await client.$transaction([
      client.post.updateMany({ data: { views: { increment: 1 } } }),
      client.label.deleteMany({}),
    ]);
    await refusal(
      client.$transaction(async (tx) => {
        await tx.user.deleteMany({});
        throw new Error('undone');
      }),
    );
    await client.$transaction((tx) => tx.user.delete({ where: { email: 'bob@x' } }), {
      isolationLevel: 'Serializable',
    });
    expectEqual([await client.user.count(), await client.post.count()], [1, 2]);
    const raw =
      await client.$queryRaw`select sum(views)::int s from m_prisma_posts where title like ${'%o%'}`;
    expectEqual(raw, [{ s: 10 }]);
  });
  await client.$disconnect();
}

-- One object of every kind that can be made, for psql's lists.
drop schema if exists zoo cascade;
drop role if exists zoo_keeper;
drop role if exists zoo_guest;
create role zoo_keeper login connection limit 5;
create role zoo_guest;
grant zoo_guest to zoo_keeper;
create schema zoo;
comment on schema zoo is 'one object of every kind';
grant usage on schema zoo to zoo_guest;
set search_path = zoo;
create type mood as enum ('calm', 'hungry', 'angry');
comment on type mood is 'how they feel';
create sequence ticket as bigint increment by 5 minvalue 10 maxvalue 1000 start with 20 cache 3 cycle;
create table cages (
  id serial primary key,
  code varchar(8) not null unique,
  area numeric(8, 2) default 1.5 check (area > 0.5),
  built date default current_date,
  notes text
);
comment on table cages is 'where they live';
comment on column cages.area is 'square metres';
create table animals (
  id bigint generated always as identity primary key,
  cage int not null references cages (id) on delete cascade on update restrict,
  name varchar(40) not null,
  feeling mood,
  weight int,
  grams int generated always as (weight * 1000) stored,
  tags text[] default '{}',
  data jsonb default '{}'::jsonb,
  born timestamptz default now(),
  chip uuid,
  constraint heavy check (weight < 10000)
);
create index animals_born on animals (born desc nulls last, name) include (weight) where weight is not null;
create index animals_name on animals (lower(name));
create unique index animals_chip on animals (chip);
create table keepers (
  id int,
  cage int,
  since timestamp(3),
  primary key (id, cage),
  foreign key (cage) references cages
);
create view heavy_animals as select id, name, weight from animals where weight > 100;
comment on view heavy_animals is 'mind your feet';
grant select on animals, heavy_animals to zoo_guest;
grant insert (name), update (name) on animals to zoo_keeper with grant option;
grant usage on sequence ticket to zoo_guest;
alter default privileges in schema zoo grant select on tables to zoo_guest;
insert into cages (code) values ('A1'), ('B2');
insert into animals (cage, name, weight) values (1, 'Leo', 190), (2, 'Kit', 4);

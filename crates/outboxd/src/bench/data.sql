-- Debezium's five columns, so that any relay can be pointed at the same table.
create table outbox (
  id uuid primary key,
  aggregatetype varchar(255) not null,
  aggregateid varchar(255) not null,
  type varchar(255) not null,
  payload jsonb
);

create publication bench for table outbox with (publish = 'insert');

-- Row n is the same every time. `end_lsn` comes back as the end of the last commit.
create procedure fill(total bigint, per_transaction bigint, inout end_lsn pg_lsn)
language plpgsql as $$
declare
  done bigint := 0;
begin
  while done < total loop
    insert into outbox (id, aggregatetype, aggregateid, type, payload)
    select row.id, 'order', row.key, 'OrderPlaced',
      jsonb_build_object(
        'seq', seq, 'id', row.id, 'key', row.key, 'kind', 'OrderPlaced',
        'total', seq % 1000 + 0.25, 'currency', 'EUR',
        'street', '12 Some Quiet Lane, 34567 Anytown', 'note', repeat('x', 72))
    from generate_series(done + 1, least(done + per_transaction, total)) as seq,
      lateral (
        select md5(seq::text)::uuid as id,
          'customer-' || to_char(seq * 7919 % 10000, 'FM0000') as key
      ) as row;
    commit;
    done := done + per_transaction;
  end loop;
  end_lsn := pg_current_wal_insert_lsn();
end $$;

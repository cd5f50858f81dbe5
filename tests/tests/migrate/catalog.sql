-- Everything in the schema outbox that a migration can leave, one line each.
select line from (
    select concat_ws(' ', 'relation', c.relname, c.relkind, c.relreplident, c.reloptions, c.relacl,
                     pg_get_userbyid(c.relowner), pg_get_viewdef(c.oid), obj_description(c.oid, 'pg_class')) as line
      from pg_class c where c.relnamespace = 'outbox'::regnamespace and c.relkind <> 'i'
    union all
    select concat_ws(' ', 'column', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
                     a.attnotnull, a.attacl, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
      left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
     where c.relnamespace = 'outbox'::regnamespace
    union all
    select concat_ws(' ', 'constraint', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid),
                     obj_description(oid, 'pg_constraint'))
      from pg_constraint where connamespace = 'outbox'::regnamespace
    union all
    select concat_ws(' ', 'function', oid::regprocedure, prosecdef, provolatile, proconfig, proacl,
                     pg_get_userbyid(proowner), md5(prosrc), obj_description(oid, 'pg_proc'))
      from pg_proc where pronamespace = 'outbox'::regnamespace
    union all
    select concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), obj_description(t.oid, 'pg_trigger'))
      from pg_trigger t join pg_class c on c.oid = t.tgrelid
     where c.relnamespace = 'outbox'::regnamespace
    union all
    select concat_ws(' ', 'index', indexdef) from pg_indexes where schemaname = 'outbox'
    union all
    select concat_ws(' ', 'schema', nspname, nspacl, pg_get_userbyid(nspowner), obj_description(oid, 'pg_namespace'))
      from pg_namespace where nspname = 'outbox'
    union all
    select concat_ws(' ', 'messages', oid::regprocedure, proacl) from pg_proc where proname = 'pg_logical_emit_message'
    union all
    select concat_ws(' ', 'applied', name, checksum) from outbox.migrations
) everything order by line

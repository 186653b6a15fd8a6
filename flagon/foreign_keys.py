"""Query keys that other libraries document for their own use, in lower case.

libpq refuses a name that it does not know; none of these is one of its keywords (a test asks it).
"""

FOREIGN = frozenset(
    # Prisma
    "schema pgbouncer connection_limit pool_timeout statement_cache_size socket_timeout "
    "max_connection_lifetime max_idle_connection_lifetime single_use_connections sslaccept sslidentity "
    # node-postgres, postgres.js, Knex, TypeORM
    "max min uselibpqcompat statement_timeout query_timeout lock_timeout idle_in_transaction_session_timeout "
    "idletimeoutmillis connectiontimeoutmillis idle_timeout max_lifetime prepare fetch_types encoding "
    # asyncpg, psycopg and SQLAlchemy arguments
    "command_timeout prepared_statement_cache_size prepared_statement_name_func max_cached_statement_lifetime "
    "direct_tls max_cacheable_statement_size server_settings async_fallback prepare_threshold autocommit "
    "pool_size max_overflow pool_recycle pool_pre_ping pool_use_lifo echo timeout "
    # JDBC
    "preparethreshold preparedstatementcachequeries preparedstatementcachesizemib defaultrowfetchsize "
    "logintimeout connecttimeout sockettimeout tcpkeepalive applicationname currentschema targetservertype "
    "stringtype rewritebatchedinserts sslfactory binarytransfer autosave "
    # Doctrine, Symfony, Laravel
    "serverversion charset driver driverclass persistent default_dbname unix_socket "
    # Rails and Ecto
    "adapter pool prepared_statements prepared_statement reaping_frequency checkout_timeout schema_search_path "
    "advisory_locks insert_returning statement_limit min_messages variables queue_target queue_interval "
    # Django
    "conn_max_age conn_health_checks disable_server_side_cursors atomic_requests "
    # pgx and lib/pq
    "pool_max_conns pool_min_conns pool_max_conn_lifetime pool_max_conn_lifetime_jitter "
    "pool_max_conn_idle_time pool_health_check_period default_query_exec_mode statement_cache_capacity "
    "description_cache_capacity binary_parameters search_path "
    # Supabase, Vercel, poolers
    "supa workaround pool_mode "
    # TablePlus
    "statuscolor env enviroment environment name tlsmode useprivatekey safemodelevel advancedsafemodelevel "
    "driverversion lazyload".split()
)

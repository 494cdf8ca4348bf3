-- Tables of a recording (PRAGMA user_version 1). What became known between two flushes has a time between theirs. Times are nanoseconds of CLOCK_MONOTONIC, `started` in `fact` is the first of them and
-- `started_unix_ns` the same moment by the wall clock. Sums are running totals since the start, so that any row can be left out.
CREATE TABLE fact (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE thread (tid INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE frame (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, function TEXT NOT NULL, script TEXT, line INTEGER, col INTEGER,
  is_approximate INTEGER NOT NULL, is_resolved INTEGER NOT NULL,
  original_script TEXT, original_line INTEGER, original_col INTEGER, original_name TEXT);
CREATE TABLE site (
  id INTEGER PRIMARY KEY, group_id INTEGER NOT NULL, stack INTEGER NOT NULL, label TEXT NOT NULL, via TEXT,
  is_cut INTEGER NOT NULL, user_frame INTEGER);
-- part 0: its own stack, innermost first; 1 and up: what began the async resource in whose turn it ran.
CREATE TABLE site_frame (
  site INTEGER NOT NULL, part INTEGER NOT NULL, position INTEGER NOT NULL, frame INTEGER NOT NULL,
  PRIMARY KEY (site, part, position)) WITHOUT ROWID;
-- A row per flush in which something changed.
CREATE TABLE site_total (
  site INTEGER NOT NULL, t INTEGER NOT NULL, n_live INTEGER NOT NULL, live_bytes INTEGER NOT NULL,
  peak_bytes INTEGER NOT NULL, group_peak_bytes INTEGER NOT NULL, n_created INTEGER NOT NULL, created_bytes INTEGER NOT NULL,
  created_bytes_per_s REAL NOT NULL, n_created_per_s REAL NOT NULL, n_folded INTEGER NOT NULL, folded_bytes INTEGER NOT NULL,
  lifetimes TEXT NOT NULL, majors_survived TEXT NOT NULL,
  -- Of its live stores: those that survived two major collections; those whose pages were looked at; shared, old and young ones.
  n_survivors INTEGER, n_known INTEGER, known_bytes INTEGER, resident INTEGER, zero INTEGER, swapped INTEGER, huge INTEGER,
  n_shared INTEGER, shared_bytes INTEGER, n_old INTEGER, old_bytes INTEGER, old_held INTEGER, n_young INTEGER, young_bytes INTEGER,
  PRIMARY KEY (site, t)) WITHOUT ROWID;
-- A row per store that lived at a flush. life_class: 0 for a life of up to a second, n for up to 2^n; NULL while it lives.
CREATE TABLE store (
  number INTEGER PRIMARY KEY, address INTEGER NOT NULL, id INTEGER NOT NULL, data INTEGER NOT NULL, size INTEGER NOT NULL,
  max_size INTEGER NOT NULL, kind TEXT NOT NULL, tid INTEGER NOT NULL, site INTEGER NOT NULL, stack INTEGER NOT NULL,
  minor_at_birth INTEGER NOT NULL, major_at_birth INTEGER NOT NULL,
  placement TEXT, mapping_start INTEGER, mapping_bytes INTEGER,
  birth INTEGER NOT NULL, death INTEGER, life_class INTEGER, n_minor_survived INTEGER, n_major_survived INTEGER);
CREATE INDEX store_life ON store (life_class, birth);
CREATE INDEX store_size ON store (size DESC);
CREATE TABLE store_change (
  store INTEGER NOT NULL, t INTEGER NOT NULL, size INTEGER NOT NULL, data INTEGER NOT NULL, tid INTEGER NOT NULL,
  minor_at_birth INTEGER NOT NULL, major_at_birth INTEGER NOT NULL,
  PRIMARY KEY (store, t)) WITHOUT ROWID;
-- A row per store whose pages changed since it was last looked at.
CREATE TABLE store_pages (
  store INTEGER NOT NULL, t INTEGER NOT NULL, scanned INTEGER NOT NULL, resident INTEGER NOT NULL, zero INTEGER NOT NULL, swapped INTEGER NOT NULL,
  huge INTEGER NOT NULL, touched INTEGER NOT NULL, grew INTEGER NOT NULL, is_recycled INTEGER NOT NULL,
  PRIMARY KEY (store, t)) WITHOUT ROWID;
-- With --faults: when a store was first written to, by its page faults, known at t; touched is null if no fault was seen.
CREATE TABLE first_touch (
  store INTEGER PRIMARY KEY, t INTEGER NOT NULL, touched INTEGER, is_in_kernel INTEGER);
CREATE TABLE rss_scan (
  t INTEGER PRIMARY KEY, scanned INTEGER NOT NULL, rss INTEGER NOT NULL, swapped INTEGER NOT NULL, untouched INTEGER NOT NULL,
  is_allocator_known INTEGER NOT NULL, allocator TEXT, obstacle TEXT, n_arenas INTEGER NOT NULL, n_arenas_unknown INTEGER NOT NULL,
  n_chunks INTEGER NOT NULL, n_free INTEGER NOT NULL, free INTEGER NOT NULL, free_at_end INTEGER NOT NULL,
  free_in_threads INTEGER NOT NULL, mmap_threshold INTEGER, trim_threshold INTEGER, is_threshold_fixed INTEGER,
  n_untraced_mapped INTEGER, untraced_mapped INTEGER, untraced_mapped_resident INTEGER, survey_took INTEGER NOT NULL);
CREATE TABLE rss_part (t INTEGER NOT NULL, part TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (t, part)) WITHOUT ROWID;
-- A row per sample of the memory and per flush; is_flush: rows of stores and sites are as of here.
-- Why RSS changed: known at t, from one look at all pages (`since`) to a later one (`until`). Bytes of causes are what they added to RSS.
CREATE TABLE rss_step (
  t INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, rss_before INTEGER NOT NULL, rss_after INTEGER NOT NULL,
  unexplained INTEGER NOT NULL, created INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (t, until)) WITHOUT ROWID;
CREATE TABLE rss_step_cause (
  t INTEGER NOT NULL, until INTEGER NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL, site INTEGER, bytes INTEGER NOT NULL,
  n_stores INTEGER NOT NULL, store INTEGER NOT NULL, store_size INTEGER NOT NULL, store_birth INTEGER NOT NULL,
  PRIMARY KEY (t, until, position)) WITHOUT ROWID;
-- Bytes that the target asked the kernel for, or gave back, during a step: mmap, munmap, brk-up, brk-down, madvise.
CREATE TABLE rss_step_call (
  t INTEGER NOT NULL, until INTEGER NOT NULL, call TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (t, until, call)) WITHOUT ROWID;
-- Memory of dead stores of a site that is still in RAM, when it changed.
CREATE TABLE freed (site INTEGER NOT NULL, t INTEGER NOT NULL, resident INTEGER NOT NULL, PRIMARY KEY (site, t)) WITHOUT ROWID;
-- V8's counters of each heap.
CREATE TABLE heap (
  t INTEGER NOT NULL, position INTEGER NOT NULL, sampled INTEGER NOT NULL, address INTEGER NOT NULL, is_in_main_heap INTEGER NOT NULL,
  total INTEGER NOT NULL, used_min INTEGER NOT NULL, used_max INTEGER NOT NULL, external INTEGER, array_buffers INTEGER,
  PRIMARY KEY (t, position)) WITHOUT ROWID;
CREATE TABLE moment (
  t INTEGER PRIMARY KEY, is_flush INTEGER NOT NULL, rss INTEGER, array_buffers INTEGER, v8_heap INTEGER, n_isolates INTEGER NOT NULL,
  before_attach INTEGER, n_live INTEGER NOT NULL, live_bytes INTEGER NOT NULL, peak_bytes INTEGER NOT NULL,
  live_allocator_bytes INTEGER NOT NULL, n_created INTEGER NOT NULL, created_bytes INTEGER NOT NULL, n_destroyed INTEGER NOT NULL,
  destroyed_bytes INTEGER NOT NULL, n_destroyed_unknown INTEGER NOT NULL, destroyed_unknown_bytes INTEGER NOT NULL,
  n_created_per_s REAL NOT NULL, created_bytes_per_s REAL NOT NULL, destroyed_bytes_per_s REAL NOT NULL,
  n_small_live INTEGER, small_live_bytes INTEGER, n_small_created INTEGER, small_created_bytes INTEGER,
  n_minor INTEGER, n_major INTEGER, gc_last INTEGER, gc_longest INTEGER, gc_total INTEGER,
  n_lost INTEGER NOT NULL, n_reconciled INTEGER NOT NULL, n_closed_by_reconcile INTEGER NOT NULL, cpu_share REAL, own_rss INTEGER,
  resolve_p50 INTEGER, resolve_p99 INTEGER, frame_counts TEXT NOT NULL, rss_in_node INTEGER, watched_share REAL);
CREATE INDEX moment_flush ON moment (t) WHERE is_flush;
CREATE TABLE gc (
  tid INTEGER NOT NULL, t INTEGER NOT NULL, pause_ns INTEGER NOT NULL, kind TEXT NOT NULL,
  n_minor INTEGER NOT NULL, n_major INTEGER NOT NULL, PRIMARY KEY (tid, t)) WITHOUT ROWID;
CREATE INDEX gc_t ON gc (t, kind);
CREATE TABLE census (
  id INTEGER PRIMARY KEY, t INTEGER NOT NULL, known INTEGER NOT NULL, stopped_at INTEGER NOT NULL, stop_ns INTEGER NOT NULL, total_ns INTEGER NOT NULL,
  heap_bytes INTEGER NOT NULL, n_pages INTEGER NOT NULL, n_objects INTEGER NOT NULL, n_live_objects INTEGER NOT NULL,
  n_rejected INTEGER NOT NULL, n_retries INTEGER NOT NULL, allocator_bytes INTEGER, live_bytes INTEGER NOT NULL,
  n_parents INTEGER NOT NULL, is_thinned INTEGER NOT NULL,
  -- With --max-size: only these sums are left of it.
  pinned INTEGER, is_dropped INTEGER NOT NULL DEFAULT 0);
CREATE INDEX census_known ON census (known);
CREATE TABLE census_gap (census INTEGER NOT NULL, position INTEGER NOT NULL, gap TEXT NOT NULL, PRIMARY KEY (census, position)) WITHOUT ROWID;
CREATE TABLE census_failure (t INTEGER PRIMARY KEY, message TEXT NOT NULL, hint TEXT NOT NULL);
CREATE TABLE isolate (
  census INTEGER NOT NULL, position INTEGER NOT NULL, tid INTEGER, address INTEGER NOT NULL, heap_bytes INTEGER NOT NULL,
  is_in_javascript INTEGER NOT NULL, PRIMARY KEY (census, position)) WITHOUT ROWID;
CREATE TABLE parent (
  census INTEGER NOT NULL, position INTEGER NOT NULL, address INTEGER NOT NULL, size INTEGER NOT NULL, kind TEXT NOT NULL,
  is_resizable INTEGER NOT NULL, is_held_itself INTEGER NOT NULL, isolates TEXT NOT NULL, n_views INTEGER NOT NULL,
  views_bytes INTEGER NOT NULL, covered INTEGER NOT NULL, has_aliases INTEGER NOT NULL, has_overlaps INTEGER NOT NULL,
  resident INTEGER, retained_heap INTEGER, retained_off_heap INTEGER,
  store INTEGER, store_address INTEGER, store_id INTEGER, age INTEGER, n_major_survived INTEGER, site INTEGER,
  swapped INTEGER, zero INTEGER,
  PRIMARY KEY (census, position)) WITHOUT ROWID;
CREATE TABLE array_view (
  census INTEGER NOT NULL, parent INTEGER NOT NULL, position INTEGER NOT NULL, type TEXT NOT NULL, offset INTEGER NOT NULL,
  length INTEGER NOT NULL, PRIMARY KEY (census, parent, position)) WITHOUT ROWID;
CREATE TABLE holder (
  census INTEGER NOT NULL, parent INTEGER NOT NULL, position INTEGER NOT NULL, path TEXT NOT NULL, root TEXT NOT NULL,
  is_by_application INTEGER NOT NULL, n_views INTEGER NOT NULL, PRIMARY KEY (census, parent, position)) WITHOUT ROWID;
CREATE TABLE holder_group (
  census INTEGER NOT NULL, position INTEGER NOT NULL, path TEXT NOT NULL, root TEXT NOT NULL, is_by_application INTEGER NOT NULL,
  n_parents INTEGER NOT NULL, n_views INTEGER NOT NULL, bytes INTEGER NOT NULL, covered INTEGER NOT NULL, holder TEXT,
  retained_heap INTEGER, retained_off_heap INTEGER, PRIMARY KEY (census, position)) WITHOUT ROWID;
CREATE TABLE orphan (
  census INTEGER NOT NULL, position INTEGER NOT NULL, size INTEGER NOT NULL, store INTEGER NOT NULL, store_address INTEGER NOT NULL,
  store_id INTEGER NOT NULL, age INTEGER NOT NULL, n_major_survived INTEGER, site INTEGER NOT NULL,
  PRIMARY KEY (census, position)) WITHOUT ROWID;
-- All findings as of t, the most bytes first; a new set when one of them changed. Rank -1 says that there are none any more.
CREATE TABLE finding (
  t INTEGER NOT NULL, rank INTEGER NOT NULL, kind TEXT NOT NULL, confidence TEXT NOT NULL, bytes INTEGER NOT NULL,
  n_parents INTEGER NOT NULL, summary TEXT NOT NULL, evidence TEXT NOT NULL, remedy TEXT NOT NULL, remedy_code TEXT, site TEXT, via TEXT,
  holder TEXT NOT NULL, age INTEGER, n_major_survived INTEGER, PRIMARY KEY (t, rank)) WITHOUT ROWID;
-- Counts up to t of what is missing: records of the kernel by their reason, rows that the recorder could not keep.
CREATE TABLE loss (t INTEGER NOT NULL, what TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (what, t)) WITHOUT ROWID;
-- What bufwatch had to say: all notices, or all limits, as of t.
CREATE TABLE notice (t INTEGER NOT NULL, is_limit INTEGER NOT NULL, position INTEGER NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (is_limit, t, position)) WITHOUT ROWID;

-- Views made for people: seconds since the start, and one name for one thing.
CREATE VIEW meta AS SELECT name, value FROM fact;
CREATE VIEW start AS SELECT value AS t FROM fact WHERE name = 'started';
CREATE VIEW frames AS
  SELECT sf.site, sf.part, sf.position, f.kind, f.function, f.script, f.line, f.col, f.is_approximate, f.is_resolved,
    f.original_script, f.original_line, f.original_name
  FROM site_frame sf JOIN frame f ON f.id = sf.frame;
CREATE VIEW sites AS
  SELECT s.id AS site, s.label, s.via, f.function, f.script, f.line,
    t.n_live, t.live_bytes, t.peak_bytes, t.n_created, t.created_bytes, t.n_created - t.n_live AS n_destroyed, t.n_folded, t.folded_bytes,
    t.lifetimes, t.majors_survived
  FROM site s
  JOIN site_total t ON t.site = s.id AND t.t = (SELECT max(t) FROM site_total WHERE site = s.id)
  LEFT JOIN site_frame sf ON sf.site = s.id AND sf.part = 0 AND sf.position = s.user_frame
  LEFT JOIN frame f ON f.id = sf.frame;
CREATE VIEW site_intervals AS
  SELECT site, (t - (SELECT t FROM start)) / 1e9 AS t_s, live_bytes, n_live,
    n_created - lag(n_created, 1, 0) OVER w AS n_created, created_bytes - lag(created_bytes, 1, 0) OVER w AS created_bytes,
    n_folded - lag(n_folded, 1, 0) OVER w AS n_folded, folded_bytes - lag(folded_bytes, 1, 0) OVER w AS folded_bytes
  FROM site_total WINDOW w AS (PARTITION BY site ORDER BY t);
CREATE VIEW stores AS
  SELECT st.number AS store, coalesce(c.size, st.size) AS size, st.kind, (st.birth - (SELECT t FROM start)) / 1e9 AS born_s,
    (st.death - (SELECT t FROM start)) / 1e9 AS died_s, (st.death - st.birth) / 1e9 AS lifetime_s, st.n_minor_survived, st.n_major_survived,
    coalesce(c.tid, st.tid) AS tid, th.name AS thread, st.site, s.label, s.via, printf('0x%x', coalesce(c.data, st.data)) AS address, st.placement
  FROM store st
  LEFT JOIN site s ON s.id = st.site
  LEFT JOIN store_change c ON c.store = st.number AND c.t = (SELECT max(t) FROM store_change WHERE store = st.number)
  LEFT JOIN thread th ON th.tid = coalesce(c.tid, st.tid);
CREATE VIEW timeline AS
  SELECT (t - (SELECT t FROM start)) / 1e9 AS t_s, rss, array_buffers, v8_heap, n_live, live_bytes, n_created, created_bytes,
    n_destroyed, destroyed_bytes, n_small_live, small_live_bytes, n_minor, n_major, n_lost
  FROM moment;
CREATE VIEW gcs AS
  SELECT (t - (SELECT t FROM start)) / 1e9 AS t_s, pause_ns / 1e6 AS pause_ms, kind, tid FROM gc;
CREATE VIEW residency AS
  SELECT store, (t - (SELECT t FROM start)) / 1e9 AS t_s, resident, zero, swapped, huge FROM store_pages;
CREATE VIEW first_writes AS
  SELECT store, (touched - (SELECT t FROM start)) / 1e9 AS t_s, is_in_kernel FROM first_touch;
CREATE VIEW rss_parts AS SELECT (t - (SELECT t FROM start)) / 1e9 AS t_s, part, bytes FROM rss_part;
CREATE VIEW rss_steps AS
  SELECT (until - (SELECT t FROM start)) / 1e9 AS t_s, (until - since) / 1e9 AS took_s, rss_after - rss_before AS bytes, rss_after AS rss, text,
    unexplained, created FROM rss_step s WHERE NOT EXISTS (SELECT 1 FROM rss_step b WHERE b.since = s.since AND b.t > s.t);
CREATE VIEW rss_causes AS
  SELECT (c.until - (SELECT t FROM start)) / 1e9 AS t_s, c.kind, c.bytes, s.label, s.via, c.n_stores, nullif(c.store, 0) AS store
  FROM rss_step_cause c JOIN rss_step r ON r.t = c.t AND r.until = c.until LEFT JOIN site s ON s.id = c.site
  WHERE NOT EXISTS (SELECT 1 FROM rss_step b WHERE b.since = r.since AND b.t > r.t);
CREATE VIEW rss_calls AS
  SELECT (c.until - (SELECT t FROM start)) / 1e9 AS t_s, c.call, c.bytes FROM rss_step_call c JOIN rss_step r ON r.t = c.t AND r.until = c.until
  WHERE NOT EXISTS (SELECT 1 FROM rss_step b WHERE b.since = r.since AND b.t > r.t);
CREATE VIEW freed_memory AS
  SELECT (f.t - (SELECT t FROM start)) / 1e9 AS t_s, f.site, s.label, s.via, f.resident FROM freed f LEFT JOIN site s ON s.id = f.site;
CREATE VIEW heaps AS
  SELECT (t - (SELECT t FROM start)) / 1e9 AS t_s, printf('0x%x', address) AS heap, is_in_main_heap, total, used_min, used_max, external,
    array_buffers FROM heap;
CREATE VIEW censuses AS
  SELECT id AS census, (t - (SELECT t FROM start)) / 1e9 AS t_s, stop_ns / 1e6 AS stop_ms, total_ns / 1e6 AS total_ms, heap_bytes, n_parents,
    live_bytes, is_thinned, is_dropped FROM census;
CREATE VIEW parents AS
  SELECT p.census, p.position AS parent, p.size, p.kind, p.n_views, p.views_bytes, p.covered, p.resident, p.swapped, p.zero, p.size - p.covered AS uncovered,
    p.store, p.age / 1e9 AS age_s, p.n_major_survived, p.site, s.label, s.via, printf('0x%x', p.address) AS address
  FROM parent p LEFT JOIN site s ON s.id = p.site;
CREATE VIEW views AS SELECT census, parent, position AS view, type, offset, length FROM array_view;
CREATE VIEW holders AS SELECT census, path, root, is_by_application, n_parents, n_views, bytes, covered, holder FROM holder_group;
CREATE VIEW parent_holders AS SELECT census, parent, path, root, is_by_application, n_views FROM holder;
CREATE VIEW findings AS
  SELECT (t - (SELECT t FROM start)) / 1e9 AS t_s, rank, kind, confidence, bytes, n_parents, summary, evidence, remedy, remedy_code, site, via,
    holder FROM finding WHERE rank >= 0;
CREATE VIEW losses AS SELECT (t - (SELECT t FROM start)) / 1e9 AS t_s, what, n FROM loss;
CREATE VIEW notices AS SELECT (t - (SELECT t FROM start)) / 1e9 AS t_s, is_limit, text FROM notice;

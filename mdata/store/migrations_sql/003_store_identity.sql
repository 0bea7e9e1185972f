CREATE TABLE store (
    -- Which store this is, and how often it was written to: one row, written by every transaction of mdata.
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL,                 -- drawn when the store was made; a backup has it too
    generation INTEGER NOT NULL,      -- how many transactions there have been
    mark INTEGER NOT NULL,            -- drawn by the newest one
    previous INTEGER NOT NULL,        -- the mark before that, 0 for none
    cookie INTEGER NOT NULL           -- SQLite's number of the schema at that time
) STRICT
;;
INSERT INTO store
SELECT 1, lower(hex(randomblob(16))), 1, random(), 0, schema_version FROM pragma_schema_version

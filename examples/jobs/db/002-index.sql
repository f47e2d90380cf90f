CREATE UNIQUE INDEX IF NOT EXISTS result_number ON result (number);

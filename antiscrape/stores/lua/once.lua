-- Spends what may be spent once. KEYS[1] its name; ARGV[1] milliseconds after which nobody could spend it any more.
-- Answers 1 to whoever came first.
if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 1 end
return 0

const response = await fetch(process.argv[2]);
if (!response.ok) throw new Error(`status ${response.status}`);

"""A folder that answers queries by itself, in the form that the contest asks for.

`folder/` holds the scripts that go into it as they are. `sources` takes along every module of this
package that they import, under another name: the folder runs this very code, and there is no
second version of it to drift. `assembly` puts models into one file of weights and back together.
`export` does it all, and tries the result before it appears.
"""

import time, torch
from sparsight.concepts.cav import Cav
from sparsight.concepts.concept_predictor import ConceptPredictor
from sparsight.concepts.pcbm import Pcbm
from sparsight.concepts.tcav import Tcav

def show(f, n=400):
    for r in f.measured: 
        if r.measure not in ("p_value",): print(r)

def test_x(world):
    t=time.time()
    for m in (Cav(),) or (Cav(), Cav(classifier="logistic",images_per_side=0), ConceptPredictor(), ConceptPredictor(epochs=100)):
        f=m.find(world.checkpoint); print(m.name, m.settings, time.time()-t); t=time.time()
        print([(r.measure[8:],r.concept,round(r.value,3)) for r in f.measured]); print(f.notes); print([(r.value) for r in f.ranked])
    g=Cav().find(world.untrained); print([(r.measure[8:],r.concept,round(r.value,3)) for r in g.measured])
    print(Cav().compare(g,f))
    t=time.time()
    for kw in ()and({},{"scores":"logistic","images_per_side":0},{"scores":"predictor"},{"strength":1e-3},{"strength":1e-2}):
        f=Pcbm(**kw).find(world.checkpoint); print("PCBM",kw,time.time()-t); t=time.time()
        print([(r.measure,round(r.value,3)) for r in f.measured]); print(f.notes)
        for r in f.ranked:
            if r.rank<=5: print(r.class_name,r.rank,r.concept,round(r.weight,2),round(r.value,2))
    for kw in ({},{"layer":"block"},{"layer":"stem"}):
        t=time.time(); f=Tcav(**kw).find(world.checkpoint); print("TCAV",kw,time.time()-t,f.passes)
        for c in range(8):
            print(f.texts["classes"][c], [(n,round(f.arrays["scores"].mean(0)[c,k].item(),2),round(f.arrays["effect_size"][c,k].item(),2),round(f.arrays["adjusted_p"][c,k].item(),3)) for k,n in enumerate(f.texts["concepts"])], f.arrays["random"].mean(0)[c].item())
    assert 0
